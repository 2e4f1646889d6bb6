/**
 * One run of a task for all who ask for the same thing at the same time. Each caller may leave on its own; the task is
 * told to stop once the last one has left. Holds no results after the task is done.
 */

/** What a caller that left before the end gets; the task may still be on its way to noticing. */
export const LEFT = Symbol("left");

export interface JoinedWork<T> {
  /** The result of `task` for `key`, run now unless it is already running. */
  run(key: string, signal: AbortSignal, task: (signal: AbortSignal) => Promise<T>): JoinedRun<T>;
}

export interface JoinedRun<T> {
  readonly joined: boolean;
  /** `LEFT` if the caller's signal aborts first. */
  readonly result: Promise<T | typeof LEFT>;
  /** Settles when the task of this very caller has ended, which may be after the caller left; absent where it joined. */
  readonly ended?: Promise<unknown>;
}

interface Running<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  callers: number;
}

export function createJoinedWork<T>(): JoinedWork<T> {
  const running = new Map<string, Running<T>>();

  function start(key: string, task: (signal: AbortSignal) => Promise<T>): Running<T> {
    const abort = new AbortController();
    const forget = () => {
      if (running.get(key) === work) running.delete(key);
    };
    const work: Running<T> = { result: task(abort.signal).finally(forget), abort, callers: 0 };
    // An abandoned task may still fail; nobody is left to hear of it.
    work.result.catch(() => {});
    abort.signal.addEventListener("abort", forget);
    running.set(key, work);
    return work;
  }

  return {
    run(key, signal, task) {
      if (signal.aborted) return { joined: false, result: Promise.resolve(LEFT) };
      const existing = running.get(key);
      const work = existing ?? start(key, task);
      work.callers += 1;
      const left = Promise.withResolvers<typeof LEFT>();
      const leave = () => left.resolve(LEFT);
      signal.addEventListener("abort", leave);
      const result = Promise.race([work.result, left.promise]).finally(() => {
        signal.removeEventListener("abort", leave);
        work.callers -= 1;
        if (work.callers === 0) work.abort.abort();
      });
      return existing === undefined
        ? { joined: false, result, ended: work.result }
        : { joined: true, result };
    },
  };
}
