/** What an error that was thrown means for the caller. */

import { type Failure, FailureError } from "../../shared/problem.ts";
import type { RequestScope } from "./scope.ts";

const RESTARTED_SECONDS = 2;
/** Callers who come back soon would keep it busy. */
const OVERLOADED_SECONDS = 10;

/**
 * The failure that `error` stands for; undefined if it is a bug of ours. If the platform moves a Durable Object, restarts it
 * with new code, or has no room for the call, that is not a bug: such errors say so themselves.
 * https://developers.cloudflare.com/durable-objects/best-practices/error-handling/
 */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof FailureError) return error.failure;
  if (!(error instanceof Error)) return undefined;
  const isOverloaded = "overloaded" in error && error.overloaded === true;
  const isRetryable = "retryable" in error && error.retryable === true;
  if (!isOverloaded && !isRetryable) return undefined;
  return {
    code: "unavailable",
    detail: "The part of the service that this needs is restarting or busy.",
    retryAfterSeconds: isOverloaded ? OVERLOADED_SECONDS : RESTARTED_SECONDS,
    reason: `Durable Object: ${error.message}`,
  };
}

/** The failure of one of many items, `what` being such as "batch item". Anything but a `FailureError` leaves a warning in the log. */
export function itemFailureOf(error: unknown, what: string, { log }: RequestScope): Failure {
  const failure = failureOf(error);
  if (failure === undefined) {
    log.warnings.push(`${what}: ${error instanceof Error ? error.message : "thrown value"}`);
    return { code: "internal", detail: "The item hit a bug in this service." };
  }
  if (failure.reason !== undefined) log.warnings.push(`${what}: ${failure.reason}`);
  return failure;
}
