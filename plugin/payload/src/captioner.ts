/**
 * Asks the caption API for texts: for one picture while its upload waits, for one in a job, and for many through
 * the API's jobs.
 */

import {
  type Caption,
  type CaptionClient,
  type ClientJob,
  createCaptionClient,
  type JobItem,
} from "alt-text-edge-client";
import { AWAY, type Failure, failureOf, isGoneJob, noJobsReason, reasonOf } from "./failure.ts";
import { ALT_CHARACTERS, INLINE_PAUSE_MS, JOB_TIMEOUT_MS } from "./limits.ts";
import type { Settings } from "./options.ts";

export type Described =
  | {
      readonly ok: true;
      readonly text: string;
      readonly score: number;
      readonly needsReview: boolean;
      readonly cached: boolean;
    }
  | Failure;

/** How the text is requested. `num_beams` and `prompt` give other words for the same picture. */
export interface Wording {
  readonly num_beams?: number;
  readonly prompt?: string;
}

/** What a job of the API returned for one of its items. */
export interface JobAnswer {
  /** Of the picture that the answer is about. */
  readonly sha256: string;
  readonly described: Described & { readonly ok: true };
}

export interface JobProgress {
  readonly done: number;
  readonly total: number;
  /** Why nothing is being done at the moment, and until when (ISO 8601). */
  readonly paused: { readonly reason: string; readonly until: string } | undefined;
}

export type StartedJob =
  | { readonly ok: true; readonly id: string }
  /** The API has no jobs, or none for this key; pictures can still be requested one by one. */
  | { readonly ok: "no jobs"; readonly reason: string }
  | Failure;

export interface Captioner {
  /** Makes one request within the site's inline deadline, or none if the service was away a short time ago. */
  describeNow(
    pictures: readonly Uint8Array<ArrayBuffer>[],
    maxLength: number | undefined,
  ): Promise<Described>;
  /** May take longer. */
  describe(
    pictures: readonly Uint8Array<ArrayBuffer>[],
    maxLength: number | undefined,
    wording?: Wording,
  ): Promise<Described>;
  /**
   * Submits many pictures by hash or address without sending any. However often it is called, one `key` makes only
   * one job.
   */
  startJob(
    items: readonly JobItem[],
    options: { readonly maxLength: number | undefined; readonly key: string },
  ): Promise<StartedJob>;
  /** Waits for a job to end, and reports each step. A job that no longer exists counts as ended. */
  followJob(
    id: string,
    onProgress: (progress: JobProgress) => void,
  ): Promise<{ readonly ok: true } | Failure>;
  /** The texts of a job by the indexes of its items, without the items that failed. */
  jobAnswers(
    id: string,
    maxLength: number | undefined,
  ): Promise<{ readonly ok: true; readonly answers: ReadonlyMap<number, JobAnswer> } | Failure>;
}

const UNKNOWN_PAUSE = "The caption API is waiting for its captioner.";

/** Until when uploads do not ask, in epoch milliseconds, and why. */
const NO_PAUSE = { until: 0, reason: "" };

/** Creates a site's captioner. `now` is the clock, in epoch milliseconds. */
export function createCaptioner(settings: Settings, now: () => number = Date.now): Captioner {
  const clientOptions = {
    baseUrl: settings.endpoint,
    ...(settings.apiKey === undefined ? {} : { apiKey: settings.apiKey }),
  };
  // The plugin's own job waits and asks again.
  const client = createCaptionClient({ ...clientOptions, retries: 0 });
  // Following a job may take hours, in which a connection is lost now and then.
  const { jobs } = createCaptionClient(clientOptions);
  let pause = NO_PAUSE;

  return {
    async startJob(items, { maxLength, key }) {
      try {
        const terms = { ...lengthOption(maxLength), idempotencyKey: key };
        const { id } = await client.jobs.create(items, terms);
        return { ok: true, id };
      } catch (error) {
        const reason = noJobsReason(error);
        return reason === undefined ? failureOf(error) : { ok: "no jobs", reason };
      }
    },
    async followJob(id, onProgress) {
      try {
        for await (const job of jobs.follow(id)) onProgress(progressOf(job));
      } catch (error) {
        if (!isGoneJob(error)) return failureOf(error);
      }
      return { ok: true };
    },
    async jobAnswers(id, maxLength) {
      const answers = new Map<number, JobAnswer>();
      try {
        for await (const line of jobs.results(id)) {
          if (line.status === "error") continue;
          const described = describedOf(line, maxLength);
          if (described.ok) answers.set(line.index, { sha256: line.sha256, described });
        }
      } catch (error) {
        if (!isGoneJob(error)) return failureOf(error);
      }
      return { ok: true, answers };
    },
    async describeNow(pictures, maxLength) {
      if (now() < pause.until) return { ...AWAY, reason: pause.reason };
      const described = await describeFirst(client, pictures, maxLength, {}, settings.inlineTimeoutMs);
      if (!described.ok && described.concerns === "service") {
        const until = now() + Math.max(INLINE_PAUSE_MS, described.retryAfterMs ?? 0);
        pause = { until, reason: described.reason };
      }
      return described;
    },
    async describe(pictures, maxLength, wording = {}) {
      const described = await describeFirst(client, pictures, maxLength, wording, JOB_TIMEOUT_MS);
      if (described.ok) pause = NO_PAUSE;
      return described;
    },
  };
}

/** Describes the first of a document's pictures that the API can read: its file, then smaller variants of it. */
async function describeFirst(
  client: CaptionClient,
  pictures: readonly Uint8Array<ArrayBuffer>[],
  maxLength: number | undefined,
  wording: Wording,
  timeoutMs: number,
): Promise<Described> {
  const signal = AbortSignal.timeout(timeoutMs);
  let last: Described = {
    ok: false,
    reason: "The caption API does not support this picture format.",
    concerns: "picture",
    isPassing: false,
  };
  for (const picture of pictures) {
    last = await describeOne(client, picture, maxLength, wording, signal);
    if (last.ok || last.concerns === "service") return last;
  }
  return last;
}

async function describeOne(
  client: CaptionClient,
  picture: Uint8Array<ArrayBuffer>,
  maxLength: number | undefined,
  wording: Wording,
  signal: AbortSignal,
): Promise<Described> {
  try {
    const caption = await client.caption(picture, {
      ...wording,
      ...lengthOption(maxLength),
      signal,
    });
    return describedOf(caption, maxLength);
  } catch (error) {
    return failureOf(error, signal);
  }
}

function describedOf(
  { alt, score, needs_review, cached }: Pick<Caption, "alt" | "score" | "needs_review" | "cached">,
  maxLength: number | undefined,
): Described {
  const text = alt.trim();
  if (text === "" || (maxLength !== undefined && text.length > maxLength)) {
    return { ok: false, reason: "No usable text came back.", concerns: "picture", isPassing: false };
  }
  return { ok: true, text, score, needsReview: needs_review, cached };
}

const lengthOption = (maxLength: number | undefined) =>
  maxLength === undefined ? {} : { max_length: apiLength(maxLength) };

const apiLength = (maxLength: number) =>
  Math.min(Math.max(Math.min(maxLength, ALT_CHARACTERS.usual), ALT_CHARACTERS.min), ALT_CHARACTERS.max);

function progressOf({ counts: { total, waiting }, paused }: ClientJob): JobProgress {
  return {
    done: total - waiting,
    total,
    paused:
      paused === null ? undefined : { reason: reasonOf(paused.reason) ?? UNKNOWN_PAUSE, until: paused.until },
  };
}
