/**
 * Every way a request can fail, in one table: code, HTTP status, title, and whether asking again can help. A new code does
 * not compile until it has a row; the documented statuses come from here. Expected failures are values (`Failure`),
 * returned or carried by `FailureError`; bugs are thrown as they are.
 */

import * as z from "zod/mini";

interface ProblemRow {
  readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 409 | 413 | 415 | 422 | 429 | 500 | 502 | 503 | 504;
  readonly title: string;
  /**
   * What is sure to fail like this again: the same `bytes`, always, so the answer may be cached for a while; the same
   * `request` at every captioner, so no other one is asked; or `nothing`.
   */
  readonly follows: "bytes" | "request" | "nothing";
  /**
   * What may let background work succeed later: another try of the same `item`; `time`, because the service has no room now
   * and every other item would fail the same way; or `nothing`.
   */
  readonly passesWith: "item" | "time" | "nothing";
}

const row = (
  status: ProblemRow["status"],
  title: string,
  { follows = "nothing", passesWith = "nothing" }: Partial<ProblemRow> = {},
): ProblemRow => ({ status, title, follows, passesWith });

export const PROBLEMS = {
  "empty-body": row(400, "The request has no picture"),
  "bad-request": row(400, "The request is not well formed"),
  "bad-options": row(400, "An option has a wrong value", { follows: "request" }),
  "unsupported-language": row(400, "The language is not supported"),
  unauthorized: row(401, "A valid key is required"),
  forbidden: row(403, "The key does not allow this"),
  "url-refused": row(403, "The address may not be fetched"),
  "not-found": row(404, "There is nothing here"),
  "model-not-found": row(404, "The model is not served here"),
  "job-not-found": row(404, "There is no such job"),
  "not-captioned": row(404, "This picture has not been captioned yet"),
  "method-not-allowed": row(405, "The method is not allowed here"),
  "upload-timeout": row(408, "The body did not arrive in time"),
  "request-in-progress": row(409, "The same request is still being received"),
  "too-many-items": row(413, "The job has too many items"),
  "image-too-large": row(413, "There are too many bytes", { follows: "bytes" }),
  "too-many-pixels": row(413, "The picture has too many pixels", { follows: "bytes" }),
  "unsupported-encoding": row(415, "The body's encoding is not supported"),
  "unsupported-image": row(415, "The picture's format is not supported", { follows: "bytes" }),
  "not-an-image": row(415, "The bytes are not a picture", { follows: "bytes" }),
  "unreadable-image": row(422, "The picture is damaged", { follows: "bytes" }),
  "too-costly": row(422, "The picture costs too much to decode", { follows: "bytes" }),
  "decode-timeout": row(422, "The picture takes too long to decode", { follows: "request" }),
  "idempotency-key-reused": row(422, "The idempotency key belongs to another request"),
  "url-unreachable": row(422, "The address did not answer with a picture", { passesWith: "item" }),
  "rate-limited": row(429, "Too many requests", { passesWith: "time" }),
  "quota-exceeded": row(429, "The daily quota is used up", { passesWith: "time" }),
  overloaded: row(429, "The service is at capacity", { passesWith: "time" }),
  internal: row(500, "Something went wrong here", { passesWith: "item" }),
  "backend-error": row(502, "The captioner answered with an error", { passesWith: "item" }),
  unavailable: row(503, "The service is not available now", { passesWith: "time" }),
  "shutting-down": row(503, "The server is shutting down", { passesWith: "time" }),
  "deadline-exceeded": row(504, "The time for this request is over", { passesWith: "item" }),
} as const satisfies Record<string, ProblemRow>;

export type ProblemCode = keyof typeof PROBLEMS;
export const PROBLEM_CODES = Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]];

/** An expected failure: what went wrong, in a sentence the caller can act on. Never holds internals or secrets. */
export interface Failure {
  readonly code: ProblemCode;
  readonly detail: string;
  /** Seconds after which asking again makes sense; becomes `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** The cause behind it, for the log; never sent. */
  readonly reason?: string;
}

/** A failure on its way to the one error handler of an app. */
export class FailureError extends Error {
  override readonly name = "FailureError";
  readonly failure: Failure;

  constructor(failure: Failure, options?: ErrorOptions) {
    super(failure.detail, options);
    this.failure = failure;
  }
}

/** Problem details, RFC 9457, with a stable `code`. */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.enum(PROBLEM_CODES),
  detail: z.string(),
});
export type Problem = z.infer<typeof Problem>;

export const PROBLEM_CONTENT_TYPE = "application/problem+json";

/** A detail may quote what was sent; a longer one is cut, so that no more than this comes back. */
const MAX_DETAIL_CHARACTERS = 400;

/** The problem document of a failure. */
export function toProblem({ code, detail }: Failure): Problem {
  const { status, title } = PROBLEMS[code];
  return { type: `urn:problem:${code}`, title, status, code, detail: cut(detail) };
}

function cut(text: string): string {
  const kept = text.length <= MAX_DETAIL_CHARACTERS ? text : `${text.slice(0, MAX_DETAIL_CHARACTERS - 3)}...`;
  // A cut, here or earlier, may have halved a character.
  return kept.toWellFormed();
}

/** Headers of an answer that is valid only at this moment. */
export const NOT_STORED = { "cache-control": "no-store" } as const;

/** 405 with what a path does allow, RFC 9110 section 15.5.6. */
export function methodNotAllowedResponse(methods: readonly string[]): Response {
  const allowed = methods.join(", ");
  return problemResponse(
    { code: "method-not-allowed", detail: `Allowed here: ${allowed}.` },
    { allow: allowed },
  );
}

/**
 * The whole HTTP answer of a failure, with `Retry-After` if the failure says when to come back. It forbids caching, because
 * a proxy may otherwise keep a 404 or 405 for as long as it sees fit (RFC 9111, section 4.2.2), even after the picture has
 * been captioned.
 */
export function problemResponse(failure: Failure, headers: Record<string, string> = {}): Response {
  const retry: Record<string, string> =
    failure.retryAfterSeconds === undefined ? {} : { "retry-after": String(failure.retryAfterSeconds) };
  return new Response(JSON.stringify(toProblem(failure)), {
    status: PROBLEMS[failure.code].status,
    headers: { "content-type": PROBLEM_CONTENT_TYPE, ...NOT_STORED, ...retry, ...headers },
  });
}
