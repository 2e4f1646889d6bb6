/** What a job stores about itself besides its items, and how it is described to its owner. */

import type { Job, JobWebhook } from "../../shared/jobs.ts";
import { type Failure, type ProblemCode, toProblem } from "../../shared/problem.ts";
import type { CaptionOptions } from "../../shared/schema.ts";
import type { Counts } from "./ledger.ts";
import { JOB_TIMEOUT_MS, RESULTS_TTL_MS } from "./limits.ts";

/** What is known once the whole request has been read. */
export interface JobTerms {
  readonly options: CaptionOptions;
  readonly webhook: JobWebhook | undefined;
  /** SHA-256 of the request. */
  readonly fingerprint: string;
}

/** A job as it is stored. Times are epoch milliseconds. */
export interface JobState {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: number;
  readonly counts: Counts;
  status: "receiving" | Job["status"];
  terms?: JobTerms & { readonly secret: string | undefined };
  /** When the first chunk was taken. */
  startedAt?: number;
  finishedAt?: number;
  paused?: { readonly reason: ProblemCode; readonly until: number } | undefined;
  /** Chunks under way at once, while the pictures' host or the captioner wants fewer than all. */
  width?: number | undefined;
  /** Pauses that hosts of pictures asked for since the last item was done. */
  fruitlessHostPauses?: number;
  failure?: Failure;
  /** `undelivered` once an event has been given up. */
  delivery: "pending" | "undelivered";
  /** Why the latest failed try of an event failed. */
  deliveryFailure?: string;
}

export function isRunning({ status }: JobState): boolean {
  return status === "queued" || status === "running";
}

/** When a running job is given up, epoch milliseconds. */
export function timesOutAt(state: JobState): number {
  return isRunning(state) ? state.createdAt + JOB_TIMEOUT_MS : Number.POSITIVE_INFINITY;
}

/** When a job is deleted, epoch milliseconds; while its end is not known, the latest possible time. */
export function expiresAt({ createdAt, finishedAt }: JobState): number {
  return (finishedAt ?? createdAt + JOB_TIMEOUT_MS) + RESULTS_TTL_MS;
}

/**
 * The job as its owner sees it at `now`; its webhook's secret is included only if asked for. `isAllTold`: no event waits to
 * be delivered.
 */
export function describeJob(
  state: JobState,
  now: number,
  { withSecret = false, isAllTold = false } = {},
): Job {
  const { id, status, counts, createdAt, finishedAt, paused, failure, terms, delivery, deliveryFailure } =
    state;
  const iso = (time: number) => new Date(time).toISOString();
  const told = delivery === "pending" && isAllTold && finishedAt !== undefined ? "delivered" : delivery;
  const { webhook, secret } = terms ?? {};
  return {
    id,
    status: status === "receiving" ? "queued" : status,
    counts: { ...counts },
    created_at: iso(createdAt),
    finished_at: finishedAt === undefined ? null : iso(finishedAt),
    expires_at: iso(expiresAt(state)),
    seconds_left: secondsLeft(state, now),
    paused:
      paused === undefined || paused.until <= now
        ? null
        : { reason: paused.reason, until: iso(paused.until) },
    problem: failure === undefined ? null : toProblem(failure),
    webhook:
      webhook === undefined
        ? null
        : {
            url: webhook.url,
            delivery: told,
            ...(told !== "delivered" && deliveryFailure !== undefined
              ? { last_failure: deliveryFailure }
              : {}),
            ...(withSecret && secret !== undefined ? { secret } : {}),
          },
  };
}

/** Seconds that the waiting items will take, at the pace since the first chunk was taken, plus the rest of a pause. */
function secondsLeft({ counts, startedAt, finishedAt, paused }: JobState, now: number): number | null {
  const done = counts.cached + counts.generated + counts.failed;
  if (startedAt === undefined || finishedAt !== undefined || done === 0) return null;
  const pauseMs = Math.max(0, (paused?.until ?? now) - now);
  return Math.ceil((pauseMs + (counts.waiting * (now - startedAt)) / done) / 1000);
}
