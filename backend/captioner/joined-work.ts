/**
 * One run of a task for all who ask for the same thing at the same time. Each caller may leave on its own; the task is
 * told to stop once the last one has left, and is of the background while all of them are. Holds no results after the task is done.
 */

import type { Demand } from "../picture/demand.ts";

/** What a caller that left before the end gets; the task may still be on its way to noticing. */
export const LEFT = Symbol("left");

export interface JoinedWork<T> {
  /** The result of `task` for `key`, run now unless it is already running. It gets what all of its callers want together. */
  run(key: string, caller: Demand, task: (demand: Demand) => Promise<T>): JoinedRun<T>;
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
  readonly demand: { isBackground: boolean };
  callers: number;
}

export function createJoinedWork<T>(): JoinedWork<T> {
  const running = new Map<string, Running<T>>();

  function start(key: string, { isBackground }: Demand, task: (demand: Demand) => Promise<T>): Running<T> {
    const abort = new AbortController();
    const demand = { signal: abort.signal, isBackground };
    const forget = () => {
      if (running.get(key) === work) running.delete(key);
    };
    const work: Running<T> = { result: task(demand).finally(forget), abort, demand, callers: 0 };
    // An abandoned task may still fail; nobody is left to hear of it.
    work.result.catch(() => {});
    abort.signal.addEventListener("abort", forget);
    running.set(key, work);
    return work;
  }

  return {
    run(key, caller, task) {
      const { signal } = caller;
      if (signal.aborted) return { joined: false, result: Promise.resolve(LEFT) };
      const existing = running.get(key);
      const work = existing ?? start(key, caller, task);
      work.callers += 1;
      work.demand.isBackground &&= caller.isBackground;
      const left = Promise.withResolvers<typeof LEFT>();
      const leave = () => left.resolve(LEFT);
      signal.addEventListener("abort", leave);
      const result = Promise.race([work.result, left.promise]).finally(() => {
        signal.removeEventListener("abort", leave);
        work.callers -= 1;
        if (work.callers === 0 && running.get(key) === work) work.abort.abort();
      });
      return existing === undefined
        ? { joined: false, result, ended: work.result }
        : { joined: true, result };
    },
  };
}
