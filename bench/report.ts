/** The result of every measurement: plain data, printed as JSON or as lines. */

export type Report = {
  readonly [name: string]: string | number | boolean | null | Report | readonly Report[];
};

/** A measurement could not be made; the message says what the user can do. */
export class MeasurementError extends Error {
  override readonly name = "MeasurementError";
}

/** The middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** The value that a `share` (0..1) of `values` does not exceed, by nearest rank; NaN if there are none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Milliseconds of each of `repeats` runs, after `warmUps` runs that do not count. */
export async function timeMs(
  work: () => Promise<unknown>,
  { warmUps, repeats }: { warmUps: number; repeats: number },
): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < warmUps + repeats; i++) {
    const startedAt = performance.now();
    await work();
    if (i >= warmUps) times.push(performance.now() - startedAt);
  }
  return times;
}
