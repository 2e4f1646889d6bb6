/** How a command waits for the programs that it has started: until they answer, die, or somebody interrupts. */

import { setTimeout as sleep } from "node:timers/promises";
import type { Child } from "../local/child.ts";
import { CommandError } from "./command-line.ts";

const POLL_EVERY_MS = 150;

/** Rejects with the reason of `signal` once it aborts. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

/**
 * The result of `work`, unless `child` dies or `signal` aborts first. @throws CommandError naming the child, or the
 * signal's reason
 */
export async function whileAlive<T>(child: Child, work: Promise<T>, signal: AbortSignal): Promise<T> {
  const died = child.ended.then((how): never => {
    if (signal.aborted) throw signal.reason;
    throw new CommandError(`The ${child.name} ended with ${how}; its lines above say why.`);
  });
  return Promise.race([work, died, aborted(signal)]);
}

/** Resolves once `url` answers with a good status. @throws CommandError if it does not within `withinMs` */
export async function answersOk(
  url: string,
  {
    withinMs = Number.POSITIVE_INFINITY,
    signal,
  }: { readonly withinMs?: number; readonly signal: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + withinMs;
  // A connection may be accepted and never answered.
  const limit = Number.isFinite(withinMs) ? AbortSignal.any([signal, AbortSignal.timeout(withinMs)]) : signal;
  while (performance.now() < deadline) {
    const isOk = await fetch(url, { signal: limit }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isOk) return;
    await sleep(POLL_EVERY_MS, undefined, { signal });
  }
  throw new CommandError(`${url} was not ready within ${withinMs / 1000} s; the lines above say why.`);
}
