/** One run at a time, joined by all callers who ask meanwhile. */

/**
 * Makes a function that begins `work`, or joins the run that is under way. A run older than `maxMs` is not joined any more,
 * because the platform may have cut off the request that began it, and it would never settle.
 */
export function singleFlight<Input, Output>(
  work: (input: Input) => Promise<Output>,
  { maxMs, now }: { readonly maxMs: number; readonly now: () => number },
): (input: Input) => Promise<Output> {
  let current: { readonly outcome: Promise<Output>; readonly startedAt: number } | undefined;
  return (input) => {
    if (current !== undefined && now() - current.startedAt < maxMs) return current.outcome;
    const run = {
      startedAt: now(),
      outcome: work(input).finally(() => {
        if (current === run) current = undefined;
      }),
    };
    current = run;
    return run.outcome;
  };
}
