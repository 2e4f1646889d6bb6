/** What the parts of a backfill share: the collection, the patience, and the number of pictures under way at once. */

import type { Payload } from "payload";
import type { AltField } from "./alt-field.ts";
import type { Outcome } from "./describe.ts";
import type { Failure } from "./failure.ts";
import { RUN_STALL_DELAYS_MS, RUN_WIDTH } from "./limits.ts";

export type Id = string | number;

/** A collection that is being described. */
export interface Library {
  readonly payload: Payload;
  readonly slug: string;
  readonly alt: AltField;
  readonly isDryRun: boolean;
  /** Whether the API may fetch pictures from the addresses that the site gives. */
  readonly isByAddress: boolean;
  readonly wait: (ms: number) => Promise<void>;
  readonly tell: (line: string) => void;
  /** Counts a document that is finished. */
  readonly count: (id: Id, outcome: Outcome) => void;
}

/** Ends a backfill, because the service does not answer or does not accept this site. */
export class StoppedError extends Error {
  override readonly name = "StoppedError";
}

/** Repeats the request while the service is away; returns the last answer. */
export async function patiently<T>(
  ask: () => Promise<T>,
  failureOf: (answer: T) => Failure | undefined,
  { wait }: Library,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    const answer = await ask();
    const failure = failureOf(answer);
    const delayMs = RUN_STALL_DELAYS_MS[attempt];
    if (failure?.isPassing !== true || delayMs === undefined) return answer;
    await wait(Math.max(delayMs, failure.retryAfterMs ?? 0));
  }
}

/** Works on all items, `RUN_WIDTH` at once. @throws the first error of the work, once nothing is under way any more */
export async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const errors: unknown[] = [];
  const worker = async () => {
    for (const item of queue) {
      if (errors.length > 0) return;
      await work(item).catch((error: unknown) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: RUN_WIDTH }, worker));
  if (errors.length > 0) throw errors[0];
}
