/**
 * Runs a task once for all callers that ask for the same thing at the same time. Each caller may leave on its own;
 * the task is told to stop once the last one has left. It is background work only while all of its callers are.
 * Keeps no results after the task is done.
 */

import type { Demand } from "../picture/demand.ts";

/** Result for a caller that left before the end; the task may not have noticed yet. */
export const LEFT = Symbol("left");

export interface JoinedWork<T> {
  /** Runs `task` for `key`, or joins it if it is already running. The task gets the combined demand of its callers. */
  run(key: string, caller: Demand, task: (demand: Demand) => Promise<T>): JoinedRun<T>;
}

export interface JoinedRun<T> {
  readonly joined: boolean;
  /** `LEFT` if the caller's signal aborts first. */
  readonly result: Promise<T | typeof LEFT>;
  /**
   * Settles when the task that this caller started has ended, possibly after the caller left; absent if it joined
   * one.
   */
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
    // An abandoned task may still fail, but nobody is left to tell.
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
