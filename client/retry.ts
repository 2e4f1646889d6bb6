/** Decides when to ask again, and how long to wait before that. No I/O but the wait that is passed in. */

import { retryAfterMs } from "../shared/retry-after.ts";

const RETRIED_STATUSES: ReadonlySet<number> = new Set([429, 503]);
/**
 * With a `Retry-After`, the API is still waiting for the rest of an earlier try that was cut off; without one it is some
 * other conflict.
 */
const IN_PROGRESS = 409;
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 30_000;

export interface RetryOptions {
  /** Tries after the first. */
  readonly retries: number;
  /** If a server asks for a longer wait than this, the call fails at once. */
  readonly maxRetryAfterMs: number;
  readonly wait: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
  /** 0..1, spreads clients that failed together. */
  readonly random: () => number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Repeats `send` while it answers 429, 503, or 409 with a `Retry-After`, or cannot connect. The last answer, or the last
 * error, is the result.
 * `Retry-After` (seconds or a date, RFC 9110 section 10.2.3) is honoured; without it the wait doubles.
 */
export async function withRetries(
  send: () => Promise<Response>,
  options: RetryOptions & { readonly signal: AbortSignal | undefined },
): Promise<Response> {
  for (let attempt = 0; ; attempt++) {
    const isLast = attempt >= options.retries;
    let delayMs = Math.min(FIRST_DELAY_MS * 2 ** attempt, LONGEST_DELAY_MS) * (0.5 + options.random() / 2);
    try {
      const response = await send();
      const askedMs = retryAfterMs(response.headers.get("retry-after"), options.now());
      const isInProgress = response.status === IN_PROGRESS && askedMs !== undefined;
      if (isLast || !(isInProgress || RETRIED_STATUSES.has(response.status))) return response;
      if (askedMs !== undefined && askedMs > options.maxRetryAfterMs) return response;
      delayMs = Math.max(delayMs, askedMs ?? 0);
      await response.body?.cancel();
    } catch (error) {
      if (isLast || options.signal?.aborted) throw error;
    }
    await options.wait(delayMs, options.signal);
  }
}
