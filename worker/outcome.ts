/** An expected failure is a value here, so that it can be cached and shared between requests that wait for one answer. */

import type { Failure } from "../shared/problem.ts";

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: Failure };

export function success<T>(value: T): Outcome<T> {
  return { ok: true, value };
}

export function failed(failure: Failure): Outcome<never> {
  return { ok: false, failure };
}
