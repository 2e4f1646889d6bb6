/** What a schema expected of a value, in words for somebody who knows no schemas. Never says the value itself. */

import type * as z from "zod";

/** How zod begins what it says by itself; what our schemas say instead stands as it is. */
const ZODS_OWN = /^(Invalid (input|option)|Too (small|big)):/;

export function expectation(issue: z.core.$ZodIssue): string {
  if (!ZODS_OWN.test(issue.message)) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `expected ${TYPES[issue.expected] ?? issue.expected}`;
    case "too_small":
      return isNumber(issue.origin)
        ? `expected ${issue.inclusive ? "at least" : "more than"} ${issue.minimum}`
        : issue.message;
    case "too_big":
      return isNumber(issue.origin)
        ? `expected ${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`
        : issue.message;
    case "invalid_value":
      return `expected ${issue.values.length > 1 ? "one of " : ""}${issue.values.join(", ")}`;
    default:
      return issue.message;
  }
}

const isNumber = (origin: string) => origin === "number" || origin === "int";

const TYPES: Readonly<Record<string, string>> = {
  array: "a list",
  boolean: "true or false",
  int: "a whole number",
  number: "a number",
  object: "an object",
  record: "an object",
  string: "a text",
};
