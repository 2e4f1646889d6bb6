/** Options of a request, from its query and from its body, under one schema. */

import type * as z from "zod";
import { FailureError, type ProblemCode } from "../../shared/problem.ts";
import { type CaptionOptions, CaptionQuery, type GenerationOptions } from "../../shared/schema.ts";

const NONE: CaptionOptions = {};
const SPOKEN = "en";

/** Parses options. @throws {FailureError} `bad-options` or `unsupported-language`, naming the field. */
export function parseOptions(raw: Readonly<Record<string, unknown>>): CaptionOptions {
  if (Object.keys(raw).length === 0) return NONE;
  return requireEnglish(parseWith(CaptionQuery, raw, "bad-options"));
}

/** The part of the options that the captioner sees. */
export function generationOptions(options: CaptionOptions): GenerationOptions {
  const { max_length: _shapingOnly, ...generation } = options;
  return generation;
}

/** Takes the language out of options that name one we speak. @throws {FailureError} `unsupported-language`. */
export function requireEnglish(query: CaptionQuery): CaptionOptions {
  const { language, ...options } = query;
  if (language === undefined || language.toLowerCase().split(/[-_]/)[0] === SPOKEN) return options;
  throw new FailureError({
    code: "unsupported-language",
    detail: `Captions in ${JSON.stringify(language.slice(0, 40))} are not available; only English ("${SPOKEN}") is.`,
  });
}

const OPTION_NAMES = new Set(Object.keys(CaptionQuery.shape));

/** `value` under `schema`. @throws {FailureError} naming the field; `bad-options` where an option is at fault, else `otherwise`. */
export function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  otherwise: ProblemCode,
): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const field = issue?.path.join(".") ?? "";
  const detail = `${field === "" ? "" : `${field}: `}${issue?.message ?? "not valid"}`;
  throw new FailureError({
    code: OPTION_NAMES.has(String(issue?.path[0])) ? "bad-options" : otherwise,
    detail,
  });
}
