/**
 * Who wrote a picture's text, and what a save makes of it. Pure: no Payload, no I/O. The rule behind all of it:
 * only people change a text that a person has written, edited or saved.
 */

import type { Source, State } from "./names.ts";

/** What is stored about a picture's text. */
export interface Stored {
  readonly alt: string;
  readonly state: State | null;
  readonly source: Source | null;
  readonly score: number | null;
  readonly reason: string | null;
  readonly generated: string | null;
  readonly decorative: boolean;
}

export const NOTHING_STORED: Stored = {
  alt: "",
  state: null,
  source: null,
  score: null,
  reason: null,
  generated: null,
  decorative: false,
};

/** What the Generate button put into the form. */
export interface Suggestion {
  readonly text: string;
  readonly score: number;
}

/** What a save sends about the text. */
export interface Sent {
  /** Undefined if the save does not touch it. */
  readonly alt: string | undefined;
  readonly decorative: boolean | undefined;
  /** The state that the form was opened with; undefined if no form sent this. */
  readonly formState: State | null | undefined;
  /** The model's words that the form was opened with; undefined if it was opened with a person's words or none. */
  readonly formGenerated: string | undefined;
  readonly suggestion: Suggestion | undefined;
  /** Whether a person pressed save; false for autosave, and for the site's own code. */
  readonly deliberate: boolean;
}

export type Saved =
  | { readonly kind: "keep" }
  | { readonly kind: "set"; readonly stored: Stored }
  /** The picture needs a description; until there is one, `stored` applies. */
  | { readonly kind: "describe"; readonly stored: Stored }
  | { readonly kind: "refuse"; readonly message: string };

const DECORATIVE_REFUSAL =
  "A person wrote alt text for this picture. Delete the text to mark the picture as decorative.";

/**
 * Whether the stored text is the model's and no person has saved it: only such a text may be replaced without a
 * person.
 */
function isUnreadMachineText({ alt, state, source, generated }: Stored): boolean {
  return (
    alt !== "" &&
    source === "generated" &&
    alt === generated &&
    (state === "generated" || state === "review" || state === "pending")
  );
}

/** Whether a description may be written at all: there is no text, or none of a person's. */
export function mayDescribe(stored: Stored): boolean {
  if (stored.decorative) return false;
  return stored.alt.trim() === "" || (stored.state === "pending" && isUnreadMachineText(stored));
}

/** What a save makes of the stored text. `before` is undefined if the document is being created. */
export function saveOf({
  before,
  sent,
  isPicture,
  isNewFile,
}: {
  readonly before: Stored | undefined;
  readonly sent: Sent;
  readonly isPicture: boolean;
  readonly isNewFile: boolean;
}): Saved {
  const old = before ?? NOTHING_STORED;
  const alt = wordsOf(old, sent);
  const isUntouchedMark = before !== undefined && alt === old.alt && isMarkOfForm(sent);
  const decorative = isUntouchedMark ? old.decorative : (sent.decorative ?? old.decorative);

  if (!isPicture) {
    if (!isNewFile && sent.alt === undefined && sent.decorative === undefined) return { kind: "keep" };
    const isOfOldPicture = isNewFile && alt === old.alt && isUnreadMachineText(old);
    return { kind: "set", stored: { ...NOTHING_STORED, alt: isOfOldPicture ? "" : alt, decorative } };
  }
  if (decorative) return saveDecorative(old, alt, sent);
  if (isNewFile) return saveNewFile(old, alt, sent, before === undefined);

  if (alt.trim() === "") {
    if (old.alt !== "" || old.decorative)
      return { kind: "set", stored: { ...NOTHING_STORED, alt, state: "missing" } };
    return { kind: "keep" };
  }
  if (alt !== old.alt) return { kind: "set", stored: writtenBy(old, alt, sent) };
  if (sent.alt === undefined || sent.alt !== alt || !sent.deliberate) return { kind: "keep" };
  if (old.state === "described") return { kind: "keep" };
  return {
    kind: "set",
    stored: { ...old, decorative: false, state: "described", source: old.source ?? "person", reason: null },
  };
}

/**
 * The text that a save really means. An untouched form sends what it was opened with: nothing, or what the model
 * had said. Neither replaces what has been stored since.
 */
function wordsOf(old: Stored, { alt, formState, formGenerated, suggestion }: Sent): string {
  if (alt === undefined) return old.alt;
  const isOldForm = formState !== undefined && formState !== old.state;
  const isUntouched = alt === "" ? isOldForm : alt === formGenerated;
  return isUntouched && suggestion === undefined ? old.alt : alt;
}

/** Whether a form sends the decorative mark unchanged. */
const isMarkOfForm = ({ decorative, formState }: Sent) =>
  formState !== undefined && decorative === (formState === "decorative");

function saveDecorative(old: Stored, alt: string, { suggestion }: Sent): Saved {
  const isMachineText = alt === suggestion?.text || (alt === old.alt && old.source === "generated");
  if (alt.trim() !== "" && !isMachineText) return { kind: "refuse", message: DECORATIVE_REFUSAL };
  return { kind: "set", stored: { ...NOTHING_STORED, decorative: true, state: "decorative" } };
}

function saveNewFile(old: Stored, alt: string, sent: Sent, isCreate: boolean): Saved {
  const empty: Stored = { ...NOTHING_STORED, state: "missing" };
  if (alt.trim() === "") return { kind: "describe", stored: empty };
  if (isCreate || alt !== old.alt || alt === sent.suggestion?.text) {
    return { kind: "set", stored: writtenBy(old, alt, sent) };
  }
  if (isUnreadMachineText(old)) return { kind: "describe", stored: { ...old, state: "stale" } };
  return { kind: "set", stored: { ...old, state: "stale" } };
}

function writtenBy(old: Stored, alt: string, { suggestion }: Sent): Stored {
  const described = { ...NOTHING_STORED, alt, state: "described" } as const;
  if (suggestion !== undefined && alt === suggestion.text) {
    return { ...described, source: "generated", score: suggestion.score, generated: alt };
  }
  const ofMachine = suggestion?.text ?? (old.alt === "" || old.source === "person" ? null : old.generated);
  return { ...described, source: ofMachine === null ? "person" : "edited", generated: ofMachine };
}
