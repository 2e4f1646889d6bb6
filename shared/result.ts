/** The result of a step that may fail: a value, or the failure that the caller will read. Bugs are thrown instead. */

import type { Failure, ProblemCode } from "./problem.ts";

export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: Failure };

export function success<T>(value: T): Result<T> {
  return { ok: true, value };
}

/** A failure of this code, in a sentence that the caller can act on. */
export function failure(
  code: ProblemCode,
  detail: string,
  more: { retryAfterSeconds?: number; reason?: string } = {},
): Result<never> {
  return { ok: false, failure: { code, detail, ...more } };
}

/** A result made from an existing failure. */
export function failed(failure: Failure): Result<never> {
  return { ok: false, failure };
}
