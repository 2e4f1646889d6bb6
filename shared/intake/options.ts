/** Parses the options of a request, with failures that name the field. */

import * as z from "zod/mini";
import { fieldExpectation } from "../expectation.ts";
import type { ProblemCode } from "../problem.ts";
import { failure, type Result, success } from "../result.ts";
import { CaptionQuery } from "../schema.ts";

const OPTION_NAMES = new Set(Object.keys(CaptionQuery.shape));
/** An error may quote what a caller sent, but not all of it. */
const MAX_DETAIL_CHARACTERS = 300;

/** Fails with `bad-options` if an option is at fault, else with `otherwise`; the detail names the field. */
export function parseWith<Schema extends z.core.$ZodType>(
  schema: Schema,
  value: unknown,
  otherwise: ProblemCode,
): Result<z.infer<Schema>> {
  const parsed = z.safeParse(schema, value);
  if (parsed.success) return success(parsed.data);
  const [issue] = parsed.error.issues;
  const detail = issue === undefined ? "not valid" : fieldExpectation(issue);
  const field = String(issue?.path[0] ?? "");
  const isOption = field === "parameters" || OPTION_NAMES.has(field);
  return failure(isOption ? "bad-options" : otherwise, detail.slice(0, MAX_DETAIL_CHARACTERS));
}

/**
 * The fields of a form or a query that have a value; blank ones mean "not given".
 * Fails with `bad-options` if a name has several values, because all but one would be silently ignored, and if an option
 * was not UTF-8, which a URL's parser turns into U+FFFD (https://url.spec.whatwg.org/#concept-urlencoded-parser).
 */
export function givenFields(fields: Iterable<readonly [string, string]>): Result<Record<string, string>> {
  const given = new Map<string, string>();
  for (const [name, value] of fields) {
    if (value.trim() === "") continue;
    if (given.has(name))
      return failure("bad-options", `${name.slice(0, 40)}: expected one value, got several`);
    if (OPTION_NAMES.has(name) && value.includes("\uFFFD")) {
      return failure("bad-options", `${name}: expected text in UTF-8`);
    }
    given.set(name, value);
  }
  return success(Object.fromEntries(given));
}
