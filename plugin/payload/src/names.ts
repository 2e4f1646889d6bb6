/** Names that stand in the site's schema, and the states a picture's text can be in. No logic. */

/** Where the text stands with its reader; null for what is no picture. */
export const STATES = [
  /** A picture without text that nobody is describing. */
  "missing",
  /** The captioner was away; a job asks again. */
  "pending",
  /** Generated with too low a score: somebody should read it. */
  "review",
  /** Generated with a good score, read by nobody yet. */
  "generated",
  /** Written, edited or saved by a person. */
  "described",
  /** The file was replaced after the text was written. */
  "stale",
  /** Cannot be described; `altReason` says why. */
  "failed",
  /** Decoration: its text stays empty. */
  "decorative",
] as const;
export type State = (typeof STATES)[number];

export const STATE_LABELS: Readonly<Record<State, string>> = {
  missing: "No alt text",
  pending: "Waiting for a description",
  review: "Needs review",
  generated: "Generated",
  described: "Described",
  stale: "File replaced since",
  failed: "Could not be described",
  decorative: "Decorative",
};

/** Whose words they are. */
export const SOURCES = ["person", "generated", "edited"] as const;
export type Source = (typeof SOURCES)[number];

export const SOURCE_LABELS: Readonly<Record<Source, string>> = {
  person: "Written by a person",
  generated: "Generated",
  edited: "Generated, then edited",
};

export const DECORATIVE_LABEL = "Decorative picture";

/** Fields that the plugin adds to an upload collection, all at its top level. */
export const FIELD = {
  state: "altState",
  source: "altSource",
  score: "altScore",
  reason: "altReason",
  decorative: "altDecorative",
  /** What the model said last, to tell an edit from a new text. */
  generated: "altGenerated",
  /** SHA-256 of the file that the text is about. */
  hash: "altHash",
  /** Virtual: what the form's Generate button put into the text field. Never stored. */
  suggestion: "altSuggestion",
} as const;

/** Package name, for component paths in the import map. */
export const PACKAGE = "alt-text-edge-payload";

export const RUNS_COLLECTION = "alt-text-runs";
export const TURNS_COLLECTION = "alt-text-turns";
export const DESCRIBE_TASK = "alt-text";
export const RUN_TASK = "alt-text-run";
/** Queues of their own: a run over a library never keeps a new upload waiting. */
export const DESCRIBE_QUEUE = "alt-text";
export const RUN_QUEUE = "alt-text-runs";
export const WIDGET = "alt-text";

export const RUN_STATUSES = ["running", "completed", "cancelled", "failed"] as const;
