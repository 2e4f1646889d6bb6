/** Names that appear in the site's schema, and the states of a picture's text. No logic. */

/** The states of a picture's text; a file that is not a picture has null. */
export const STATES = [
  /** The picture has no text, and nothing is describing it. */
  "missing",
  /** The captioner was away; a job will ask again. */
  "pending",
  /** Generated with a low score, so somebody should read it. */
  "review",
  /** Generated with a good score, and not yet read by anybody. */
  "generated",
  /** Written, edited or saved by a person. */
  "described",
  /** The file was replaced after the text was written. */
  "stale",
  /** It cannot be described; `altReason` says why. */
  "failed",
  /** The picture is decorative, so its text stays empty. */
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

/** Who wrote the words. */
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
  /** The model's latest words, by which an edit is told from a new text. */
  generated: "altGenerated",
  /** SHA-256 of the file that the text is about. */
  hash: "altHash",
  /** Virtual: what the form's Generate button put into the text field. It is never stored. */
  suggestion: "altSuggestion",
} as const;

/** Package name, for component paths in the import map. */
export const PACKAGE = "alt-text-edge-payload";

export const RUNS_COLLECTION = "alt-text-runs";
export const TURNS_COLLECTION = "alt-text-turns";
export const DESCRIBE_TASK = "alt-text";
export const RUN_TASK = "alt-text-run";
/** Separate queues, so that a run over a library never keeps a new upload waiting. */
export const DESCRIBE_QUEUE = "alt-text";
export const RUN_QUEUE = "alt-text-runs";
export const WIDGET = "alt-text";

export const RUN_STATUSES = ["running", "completed", "cancelled", "failed"] as const;
