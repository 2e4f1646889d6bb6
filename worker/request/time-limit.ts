/**
 * A signal that aborts after a while, and a way to let go of it before. `AbortSignal.timeout` keeps whatever hangs on it, bodies
 * included, until its time is over, though the work was done long ago.
 */

export interface TimeLimit {
  readonly signal: AbortSignal;
  /** Waits for `work` with the clock stopped: what is waited for there is not the other side's doing. */
  without(work: Promise<void>): Promise<void>;
  /** The work is done: the timer and all that hangs on it are let go. */
  end(): void;
}

/** Begins to count `ms` milliseconds; the signal's reason is then a `TimeoutError`, as of `AbortSignal.timeout`. */
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
