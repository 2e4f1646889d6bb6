/** What a schema expected of a value, in words for somebody who knows no schemas. Never says the value itself. */

import type * as z from "zod/mini";

/** How zod begins what it says by itself; what our schemas say instead stands as it is. */
const ZODS_OWN = /^(Invalid (input|option)|Too (small|big)|Unrecognized keys?)(:|$)/;

/** With the field that it is about; several are the names on the way to it. */
export function fieldExpectation(issue: z.core.$ZodIssue): string {
  const field = issue.path.map(String).join(".");
  return `${field === "" ? "" : `${field}: `}${expectation(issue)}`;
}

/** Without the field, e.g. `expected at most 50`; begins in small letters and has no full stop. */
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
 * What any of several schemas expected. Those that refused the kind of value say nothing where another took it and
 * refused what is in it.
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

/** What is counted, by the kind of value; of a number nothing is. */
const UNITS: Readonly<Record<string, string>> = { array: " items", string: " characters" };
