/** Parses the options of a request, from its query and from its body, by one schema. */

import type * as z from "zod/mini";
import { givenFields, parseWith as parseShared } from "../../shared/intake/options.ts";
import { FailureError, type ProblemCode } from "../../shared/problem.ts";
import type { Result } from "../../shared/result.ts";
import { type CaptionOptions, CaptionQuery, type GenerationOptions } from "../../shared/schema.ts";

const NONE: CaptionOptions = {};
const SPOKEN = "en";

export type Query = Readonly<Record<string, string>>;

/** The fields of a request's query. @throws {FailureError} `bad-options` if one is given twice */
export function queryOf(request: Request): Query {
  // Most requests have no query, and parsing an address would cost more than the rest of a hit.
  if (!request.url.includes("?")) return {};
  return orThrow(givenFields(new URL(request.url).searchParams));
}

/** Parses options. @throws {FailureError} `bad-options` or `unsupported-language`, naming the field. */
export function parseOptions(given: Query): CaptionOptions {
  if (Object.keys(given).length === 0) return NONE;
  return requireEnglish(parseWith(CaptionQuery, given, "bad-options"));
}

/** The part of the options that the captioner sees. */
export function generationOptions(options: CaptionOptions): GenerationOptions {
  const { max_length: _shapingOnly, ...generation } = options;
  return generation;
}

/** Removes the language from options, if it is one we speak. @throws {FailureError} `unsupported-language`. */
export function requireEnglish(query: CaptionQuery): CaptionOptions {
  const { language, ...options } = query;
  if (language === undefined || language.toLowerCase().split(/[-_]/)[0] === SPOKEN) return options;
  throw new FailureError({
    code: "unsupported-language",
    detail: `Captions in ${JSON.stringify(language.slice(0, 40))} are not available; only English ("${SPOKEN}") is.`,
  });
}

/**
 * Parses `value` by `schema`. @throws {FailureError} naming the field; `bad-options` if an option is at fault, else
 * `otherwise`.
 */
export function parseWith<Schema extends z.core.$ZodType>(
  schema: Schema,
  value: unknown,
  otherwise: ProblemCode,
): z.infer<Schema> {
  return orThrow(parseShared(schema, value, otherwise));
}

/** The value of a step that may fail. @throws {FailureError} its failure */
export function orThrow<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new FailureError(result.failure);
}
