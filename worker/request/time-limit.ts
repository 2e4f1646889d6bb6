/**
 * A signal that aborts after a while, and that can be released earlier. `AbortSignal.timeout` keeps everything attached to
 * it, bodies included, until its time is over, even if the work was done long ago.
 */

export interface TimeLimit {
  readonly signal: AbortSignal;
  /** Waits for `work` with the clock stopped, because the other side is not to blame for that wait. */
  without(work: Promise<void>): Promise<void>;
  /** The work is done: releases the timer and everything attached to it. */
  end(): void;
}

/** Starts to count `ms` milliseconds; the signal's reason is then a `TimeoutError`, as with `AbortSignal.timeout`. */
export function timeLimit(ms: number): TimeLimit {
  const controller = new AbortController();
  const start = (leftMs: number) => ({
    endsAt: Date.now() + leftMs,
    timer: setTimeout(() => {
      controller.abort(new DOMException("The operation took too long.", "TimeoutError"));
    }, leftMs),
  });
  let clock = start(ms);
  const end = () => clearTimeout(clock.timer);
  return {
    signal: controller.signal,
    end,
    async without(work) {
      end();
      const leftMs = clock.endsAt - Date.now();
      await work;
      clock = start(Math.max(0, leftMs));
    },
  };
}
