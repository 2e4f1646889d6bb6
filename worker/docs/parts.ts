/** What the documented routes have in common: tags, bodies, headers, and the responses of failures. */

import * as z from "zod/mini";
import type { ZodOpenApiOperationObject } from "zod-openapi";
import {
  PROBLEM_CODES,
  PROBLEM_CONTENT_TYPE,
  PROBLEMS,
  Problem,
  type ProblemCode,
} from "../../shared/problem.ts";
import { Caption, ModelIdentity } from "../../shared/schema.ts";
import { problemExamples } from "./examples.ts";

/** One route of the document. */
export interface RouteDocument extends ZodOpenApiOperationObject {
  readonly method: "get" | "post" | "delete";
  readonly path: string;
}

export const Binary = { type: "string", format: "binary" } as const;

/** A schema that the document names, and refers to wherever it is part of another schema. */
export function named<Schema extends z.core.$ZodType>(id: string, schema: Schema): Schema {
  z.globalRegistry.add(schema, { ...z.globalRegistry.get(schema), id });
  return schema;
}

export const CaptionSchema = named("Caption", Caption);
const ProblemSchema = named("Problem", Problem);
named("ModelIdentity", ModelIdentity);

/** A header that comes with every such answer, or only with some. */
const header = (description: string, example: string, { always }: { always: boolean }) => ({
  description,
  required: always,
  schema: { type: "string" as const },
  example,
});

const TIMED = {
  "Server-Timing": header("Milliseconds of each leg.", "intake;dur=1, kv;dur=8, captioner;dur=78", {
    always: false,
  }),
};
/** The header of every answer of the app. */
export const REQUEST_ID = {
  "X-Request-Id": header(
    "Names the request in the log; the caller's own where it sent one.",
    "66b1ea08-3f73-4c5e-b767-8490b04626dc",
    { always: true },
  ),
};
/** Headers of answers that may have cost the key a caption. */
export const QUOTA_HEADERS = {
  RateLimit: header(
    "What is left of the key's day, and seconds until the next. draft-ietf-httpapi-ratelimit-headers-10.",
    '"daily";r=997;t=3600',
    { always: false },
  ),
  "RateLimit-Policy": header("New captions that the key may have a day.", '"daily";q=1000;w=86400', {
    always: false,
  }),
};
export const ANSWER_HEADERS = { ...REQUEST_ID, ...TIMED };
export const CACHE_HEADERS = {
  "Cache-Status": header(
    "The tier that answered (memory, colo, kv), or fwd=miss where the captioner did. RFC 9211.",
    "kv; fwd=miss; stored",
    { always: true },
  ),
  ...ANSWER_HEADERS,
};
export const ETAG = {
  ETag: header("Changes when the answer does.", '"624otn1q5vbny"', { always: true }),
};

/** Failures of every route that a key guards. */
export const GUARDED = ["unauthorized", "forbidden", "rate-limited", "unavailable", "internal"] as const;
/** Failures that follow from a picture's bytes alone: they are remembered, and also answered to requests by its hash. */
export const OF_BYTES = PROBLEM_CODES.filter((code) => PROBLEMS[code].follows === "bytes");
/** Failures of a picture that came with the request. */
export const PICTURE = [
  "empty-body",
  "bad-request",
  "bad-options",
  "unsupported-language",
  "upload-timeout",
  "unsupported-encoding",
  ...OF_BYTES,
  "decode-timeout",
  "quota-exceeded",
  "overloaded",
  "backend-error",
] as const;
/** Failures of a picture that an address names. */
export const FETCHED = ["url-refused", "url-unreachable"] as const;

/** A JSON body, with examples of it. */
export const json = <Schema, Examples extends object>(schema: Schema, examples: Examples) => ({
  "application/json": { schema, examples },
});

/** Headers of the answers that fail with `status`. */
function failureHeaders(status: number) {
  const { "X-Request-Id": id } = REQUEST_ID;
  return {
    // A worker that is not configured fails before a request has an id.
    "X-Request-Id": { ...id, required: status !== 500 },
    ...TIMED,
    ...(status === 401
      ? { "WWW-Authenticate": header("How to send a key.", "Bearer", { always: true }) }
      : {}),
    ...(status === 409 || status === 429 || status === 503
      ? { "Retry-After": header("Seconds after which to ask again.", "60", { always: true }) }
      : {}),
    ...(status === 429 ? QUOTA_HEADERS : {}),
  };
}

/** Responses of the given failures, one for each status, with the codes it may carry. */
export function problems(codes: readonly ProblemCode[]): ZodOpenApiOperationObject["responses"] {
  const byStatus = Map.groupBy(new Set(codes), (code) => PROBLEMS[code].status);
  return Object.fromEntries(
    Array.from(byStatus, ([status, group]) => [
      status,
      {
        description: group.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(" "),
        headers: failureHeaders(status),
        content: { [PROBLEM_CONTENT_TYPE]: { schema: ProblemSchema, examples: problemExamples(group) } },
      },
    ]),
  );
}
