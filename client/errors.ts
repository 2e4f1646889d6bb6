/** How a call can fail. */

import type { Problem } from "../shared/problem.ts";

/** A problem whose code may be newer than this client. */
export type ClientProblem = Omit<Problem, "code"> & { readonly code: Problem["code"] | (string & {}) };

/** The API refused: `problem.code` says why, and is stable. */
export class CaptionApiError extends Error {
  override readonly name = "CaptionApiError";
  readonly problem: ClientProblem;
  readonly requestId: string | undefined;
  /** When the server said to come back, in milliseconds from then; undefined if it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(problem: ClientProblem, requestId: string | undefined, retryAfterMs?: number) {
    super(`${problem.title}: ${problem.detail}`);
    this.problem = problem;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Something other than this API answered, or nothing did. */
export class CaptionTransportError extends Error {
  override readonly name = "CaptionTransportError";
  /** HTTP status of what answered instead; undefined if nothing did. */
  readonly status: number | undefined;
  /** When it said to come back, in milliseconds from then; undefined if it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    {
      status,
      retryAfterMs,
      cause,
    }: ErrorOptions & { readonly status?: number; readonly retryAfterMs?: number } = {},
  ) {
    super(message, { cause });
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}
