/** Translates between a document of the site and what `provenance.ts` decides on. */

import * as z from "zod";
import { FIELD, SOURCES, STATES } from "./names.ts";
import { type Document, valueAt } from "./paths.ts";
import type { Sent, Stored, Suggestion } from "./provenance.ts";

const State = z.enum(STATES).nullable().catch(null);
const Source = z.enum(SOURCES).nullable().catch(null);
const Text = z.string().nullable().catch(null);
const Suggested = z.object({ text: z.string().min(1), score: z.number().min(0).max(1) });

/** The text in one locale, also from a document that holds all locales. */
function textAt(document: unknown, path: string, locale: string | undefined): string | undefined {
  const value = valueAt(document, path);
  if (typeof value === "string") return value;
  if (value === null) return "";
  return locale === undefined || value === undefined ? undefined : textAt(value, locale, undefined);
}

export function storedOf(document: unknown, path: string, locale?: string): Stored {
  const decorative = valueAt(document, FIELD.decorative) === true;
  const score = valueAt(document, FIELD.score);
  return {
    alt: textAt(document, path, locale) ?? "",
    state: State.parse(valueAt(document, FIELD.state)),
    source: Source.parse(valueAt(document, FIELD.source)),
    score: typeof score === "number" ? score : null,
    reason: Text.parse(valueAt(document, FIELD.reason)),
    generated: Text.parse(valueAt(document, FIELD.generated)),
    decorative,
  };
}

/** What a request sends, read before Payload fills in what it leaves out. */
export function sentOf(data: unknown, path: string, locale: string | undefined, deliberate: boolean): Sent {
  const decorative = valueAt(data, FIELD.decorative);
  const state = valueAt(data, FIELD.state);
  return {
    alt: textAt(data, path, locale),
    decorative: typeof decorative === "boolean" ? decorative : undefined,
    formState: state === undefined ? undefined : State.parse(state),
    formGenerated:
      valueAt(data, FIELD.source) === "generated"
        ? (Text.parse(valueAt(data, FIELD.generated)) ?? undefined)
        : undefined,
    suggestion: suggestionOf(valueAt(data, FIELD.suggestion)),
    deliberate,
  };
}

/**
 * What the site makes of a request after Payload has processed its fields: a field's access may have left the text
 * out, and the site's hooks may have changed it, or written one when nothing was sent.
 */
export function letThrough(
  sent: Sent,
  data: unknown,
  before: Stored | undefined,
  path: string,
  locale?: string,
): Sent {
  const alt = textAt(data, path, locale);
  const decorative = valueAt(data, FIELD.decorative) === true;
  return {
    ...sent,
    // A value that nobody sent is in the data as it is stored.
    alt: alt === sent.alt || alt !== before?.alt ? alt : undefined,
    decorative: decorative === (before?.decorative ?? false) ? undefined : decorative,
  };
}

function suggestionOf(value: unknown): Suggestion | undefined {
  const parsed = Suggested.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

/** The fields beside the text, in the form in which they are stored. */
export function stateFieldsOf(stored: Stored): Document {
  return {
    [FIELD.state]: stored.state,
    [FIELD.source]: stored.source,
    [FIELD.score]: stored.score,
    [FIELD.reason]: stored.reason,
    [FIELD.generated]: stored.generated,
    [FIELD.decorative]: stored.decorative,
  };
}
