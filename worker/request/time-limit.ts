/**
 * A signal that aborts after a while, and a way to let go of it before. `AbortSignal.timeout` keeps whatever hangs on it, bodies
 * included, until its time is over, though the work was done long ago.
 */

export interface TimeLimit {
  readonly signal: AbortSignal;
  /** The work is done: the timer and all that hangs on it are let go. */
  end(): void;
}

export function timeLimit(ms: number): TimeLimit {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(new DOMException("The operation took too long.", "TimeoutError"));
  }, ms);
  return { signal: controller.signal, end: () => clearTimeout(timer) };
}
