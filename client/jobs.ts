/** Creates, follows, reads and cancels jobs of the caption API. */

import * as z from "zod/mini";
import { randomHex } from "../shared/hex.ts";
import { Job, JobError, type JobItem, JobLine, type JobWebhook } from "../shared/jobs.ts";
import type { CaptionQuery } from "../shared/schema.ts";
import { AnyProblem, answerOf, parseAnswer, refusalOf } from "./answers.ts";
import { CaptionTransportError } from "./errors.ts";
import { linesOf } from "./lines.ts";

const POLL_EVERY_MS = 1_000;
const IDEMPOTENCY_KEY_BYTES = 16;

export interface JobCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface CreateJobOptions extends CaptionQuery, JobCallOptions {
  /** An address to notify when the job is done; the answer shows the secret that signs the notifications. */
  readonly webhook?: JobWebhook | string | undefined;
  /**
   * The same key and items find the same job, however often they are sent.
   * @default a new UUID, so that a request repeated after a lost connection creates only one job
   */
  readonly idempotencyKey?: string | undefined;
}

/** Codes of a newer API are let through as text. */
const AnyJob = z.extend(Job, {
  problem: z.nullable(AnyProblem),
  paused: z.nullable(z.object({ reason: z.string(), until: z.string() })),
});
const AnyJobLine = z.union([
  JobLine,
  z.extend(JobError, { id: z.optional(z.string()), problem: AnyProblem }),
]);

/** A job as the client hands it on; its codes may be newer than the client. */
export type ClientJob = z.infer<typeof AnyJob>;
/** A line of a job's results; its codes may be newer than the client. */
export type ClientJobLine = z.infer<typeof AnyJobLine>;

export interface JobsClient {
  /** Hands over up to 10,000 pictures, by address or by hash; returns as soon as the API has accepted them. */
  create(items: readonly JobItem[], options?: CreateJobOptions): Promise<ClientJob>;
  /** How far a job has got. */
  get(id: string, options?: JobCallOptions): Promise<ClientJob>;
  /** What is done so far, in the order of the items. */
  results(id: string, options?: JobCallOptions): AsyncGenerator<ClientJobLine, void, undefined>;
  /** Cancels what has not begun. */
  cancel(id: string, options?: JobCallOptions): Promise<ClientJob>;
  /** The job each time it has moved on, and finally when it is finished. */
  follow(id: string, options?: JobCallOptions): AsyncGenerator<ClientJob, void, undefined>;
  /** The job when it is finished. */
  wait(id: string, options?: JobCallOptions): Promise<ClientJob>;
}

/** `send` is the client's own, with its key, its retries and its errors. */
export function createJobsClient(parts: {
  readonly send: (path: string, init: RequestInit, call: JobCallOptions) => Promise<Response>;
  readonly wait: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}): JobsClient {
  const { send, wait } = parts;

  async function jobFrom(path: string, init: RequestInit, call: JobCallOptions): Promise<ClientJob> {
    const response = await send(path, init, call);
    if (!response.ok) throw await refusalOf(response, call);
    return answerOf(response, AnyJob, call);
  }

  const get = (id: string, call: JobCallOptions = {}) => jobFrom(`/v1/jobs/${id}`, {}, call);

  async function* follow(id: string, call: JobCallOptions = {}): AsyncGenerator<ClientJob, void, undefined> {
    let said = "";
    for (;;) {
      const job = await get(id, call);
      const now = JSON.stringify([job.status, job.counts, job.paused]);
      if (now !== said || job.finished_at !== null) yield job;
      said = now;
      if (job.finished_at !== null) return;
      await wait(POLL_EVERY_MS, call.signal);
    }
  }

  return {
    create(items, { signal, idempotencyKey = randomHex(IDEMPOTENCY_KEY_BYTES), ...terms } = {}) {
      const headers = { "content-type": "application/json", "idempotency-key": idempotencyKey };
      const body = JSON.stringify({ items, ...terms });
      return jobFrom("/v1/jobs", { method: "POST", body, headers }, signal === undefined ? {} : { signal });
    },
    get,
    async *results(id, call = {}) {
      const response = await send(`/v1/jobs/${id}/results`, {}, call);
      if (!response.ok) throw await refusalOf(response, call);
      try {
        for await (const line of linesOf(response)) yield parseAnswer(AnyJobLine, line, response);
      } catch (cause) {
        if (call.signal?.aborted) throw call.signal.reason;
        if (cause instanceof CaptionTransportError) throw cause;
        throw new CaptionTransportError("The results broke off; ask for them again.", { cause });
      }
    },
    cancel: (id, call = {}) => jobFrom(`/v1/jobs/${id}`, { method: "DELETE" }, call),
    follow,
    async wait(id, call = {}) {
      let last: ClientJob | undefined;
      for await (const job of follow(id, call)) last = job;
      if (last === undefined) throw new Error("This is a bug: the job was followed without any news of it.");
      return last;
    },
  };
}
