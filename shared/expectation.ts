/** Says what a schema expected of a value, in words for somebody who knows no schemas. Never quotes the value. */

import type * as z from "zod/mini";

/** How zod's own messages begin; messages of our schemas are kept as they are. */
const ZODS_OWN = /^(Invalid (input|option)|Too (small|big)|Unrecognized keys?)(:|$)/;

/** The expectation with its field in front; the names on the way to a nested field are joined by dots. */
export function fieldExpectation(issue: z.core.$ZodIssue): string {
  const field = issue.path.map(String).join(".");
  return `${field === "" ? "" : `${field}: `}${expectation(issue)}`;
}

/** The expectation without the field, e.g. `expected at most 50`: begins in lower case and has no full stop. */
export function expectation(issue: z.core.$ZodIssue): string {
  if (!ZODS_OWN.test(issue.message)) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `expected ${TYPES[issue.expected] ?? issue.expected}`;
    case "too_small":
      return `expected ${issue.inclusive ? "at least" : "more than"} ${issue.minimum}${UNITS[issue.origin] ?? ""}`;
    case "too_big":
      return `expected ${issue.inclusive ? "at most" : "less than"} ${issue.maximum}${UNITS[issue.origin] ?? ""}`;
    case "invalid_value":
      return `expected ${issue.values.length > 1 ? "one of " : ""}${issue.values.join(", ")}`;
    case "unrecognized_keys":
      return `there is no field ${issue.keys.map((key) => JSON.stringify(key)).join(", ")}`;
    case "invalid_union":
      return oneOf(issue.errors);
    default:
      return issue.message;
  }
}

/**
 * What any one of several schemas expected. Schemas that refused the kind of value are left out if another one accepted it
 * and refused what is in it.
 */
function oneOf(options: readonly (readonly z.core.$ZodIssue[])[]): string {
  const refusals = options.flatMap((issues) => issues.slice(0, 1));
  const isOfKind = (issue: z.core.$ZodIssue) => issue.code !== "invalid_type" || issue.path.length > 0;
  const nearest = refusals.some(isOfKind) ? refusals.filter(isOfKind) : refusals;
  const [first, ...others] = new Set(nearest.map(fieldExpectation));
  return [first, ...others.map((words) => words.replace(/^expected /, ""))].join(", or ");
}

const TYPES: Readonly<Record<string, string>> = {
  array: "a list",
  boolean: "true or false",
  int: "a whole number",
  number: "a number",
  object: "an object",
  record: "an object",
  string: "a text",
};

/** What is counted, by the kind of value; a number counts nothing. */
const UNITS: Readonly<Record<string, string>> = { array: " items", string: " characters" };
