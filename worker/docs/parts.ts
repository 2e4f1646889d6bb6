/** What the documented routes have in common: bodies, headers, and the responses of failures. */

import type { RouteConfig } from "@hono/zod-openapi";
import { PROBLEM_CONTENT_TYPE, PROBLEMS, Problem, type ProblemCode } from "../../shared/problem.ts";
import { Caption } from "../../shared/schema.ts";

export const Binary = { type: "string", format: "binary" } as const;
export const CaptionSchema = Caption.meta({ id: "Caption" });
const ProblemSchema = Problem.meta({ id: "Problem" });

export const CACHE_HEADERS = {
  "Cache-Status": {
    description: "The tier that answered (memory, colo, kv), or fwd=miss where the captioner did. RFC 9211.",
    schema: { type: "string" },
  },
  ETag: { description: "Changes when the answer does.", schema: { type: "string" } },
  "Server-Timing": { description: "Milliseconds of each leg.", schema: { type: "string" } },
} as const;

/** Failures of every route that a key guards. */
export const GUARDED = ["unauthorized", "forbidden", "rate-limited", "unavailable", "internal"] as const;
/** Failures of a picture that came with the request. */
export const PICTURE = [
  "empty-body",
  "bad-request",
  "bad-options",
  "upload-timeout",
  "image-too-large",
  "too-many-pixels",
  "unsupported-encoding",
  "unsupported-image",
  "not-an-image",
  "unreadable-image",
  "too-costly",
  "decode-timeout",
  "quota-exceeded",
  "overloaded",
  "backend-error",
] as const;
/** Failures of a picture that an address names. */
export const FETCHED = ["url-refused", "url-unreachable", "unsupported-language"] as const;

/** A JSON body. */
export const json = <Schema>(schema: Schema) => ({ "application/json": { schema } });

/** Responses of the given failures, one for each status, with the codes it may carry. */
export function problems(codes: readonly ProblemCode[]): RouteConfig["responses"] {
  const byStatus = Map.groupBy(new Set(codes), (code) => PROBLEMS[code].status);
  return Object.fromEntries(
    Array.from(byStatus, ([status, group]) => [
      status,
      {
        description: group.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(" "),
        content: { [PROBLEM_CONTENT_TYPE]: { schema: ProblemSchema } },
      },
    ]),
  );
}
