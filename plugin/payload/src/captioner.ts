/** Asks the caption API for a picture's text, and says in our own words why there is none. */

import {
  type Caption,
  CaptionApiError,
  type CaptionClient,
  CaptionTransportError,
  type ClientJob,
  createCaptionClient,
  type JobItem,
} from "alt-text-edge-client";
import { ALT_CHARACTERS, INLINE_PAUSE_MS, JOB_TIMEOUT_MS, MAX_RETRY_AFTER_MS } from "./limits.ts";
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

export interface Failure {
  readonly ok: false;
  /** A sentence for the editor; never a word of what the server answered. */
  readonly reason: string;
  /** `picture`: this one only. `service`: every other picture would meet it too. */
  readonly concerns: "picture" | "service";
  /** Whether asking again later can help. */
  readonly isPassing: boolean;
  /** When the service said to come back, in milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
}

/** How the text is asked for. `num_beams` and `prompt` give other words for the same picture. */
export interface Wording {
  readonly num_beams?: number;
  readonly prompt?: string;
}

/** What a job of the API said about one of its items. */
export interface JobAnswer {
  /** Of the picture that it is about. */
  readonly sha256: string;
  readonly described: Described & { readonly ok: true };
}

export interface JobProgress {
  readonly done: number;
  readonly total: number;
  /** Why nothing is done just now, and until when (ISO 8601). */
  readonly paused: { readonly reason: string; readonly until: string } | undefined;
}

export type StartedJob =
  | { readonly ok: true; readonly id: string }
  /** The API has no jobs, or none for this key: pictures can still be asked for one by one. */
  | { readonly ok: "no jobs"; readonly reason: string }
  | Failure;

export interface Captioner {
  /** One request, no longer than the site's inline deadline; none at all shortly after the service was away. */
  describeNow(
    pictures: readonly Uint8Array<ArrayBuffer>[],
    maxLength: number | undefined,
  ): Promise<Described>;
  /** Takes its time. */
  describe(
    pictures: readonly Uint8Array<ArrayBuffer>[],
    maxLength: number | undefined,
    wording?: Wording,
  ): Promise<Described>;
  /** Hands many pictures over by hash or address; none is sent. The same `key` makes one job, however often it is asked. */
  startJob(
    items: readonly JobItem[],
    options: { readonly maxLength: number | undefined; readonly key: string },
  ): Promise<StartedJob>;
  /** Waits for a job to end, and tells of each step. A job that is gone has ended. */
  followJob(
    id: string,
    onProgress: (progress: JobProgress) => void,
  ): Promise<{ readonly ok: true } | Failure>;
  /** The texts of a job by the indexes of its items; what failed is not among them. */
  jobAnswers(
    id: string,
    maxLength: number | undefined,
  ): Promise<{ readonly ok: true; readonly answers: ReadonlyMap<number, JobAnswer> } | Failure>;
}

const AWAY: Pick<Failure, "ok" | "concerns" | "isPassing"> = {
  ok: false,
  concerns: "service",
  isPassing: true,
};

const UNKNOWN_PAUSE = "The caption API waits for its captioner.";

/** Of an API without such a route, or of a proxy that does not let it through. */
const NO_ROUTE_STATUSES: ReadonlySet<number | undefined> = new Set([404, 405, 501]);

/** Refusals that are over by themselves, as those from 500 on are: a body that came too slowly, or twice at once; too many requests. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 409, 429]);
/** Refusals of one picture. */
const PICTURE_STATUSES: ReadonlySet<number> = new Set([413, 415, 422]);

/** Sentences for codes of the API; what is passing is told from the status. */
const REASONS: Readonly<Record<string, string>> = {
  unauthorized: "The caption API does not accept the site's key.",
  forbidden: "The site's key may not ask for captions.",
  "quota-exceeded": "The caption API's daily quota is used up.",
  "rate-limited": "The caption API is asked too often.",
  overloaded: "The caption API is at capacity.",
  "upload-timeout": "The picture took too long to arrive at the caption API.",
  "empty-body": "The file is empty.",
  "image-too-large": "The picture has too many bytes for the caption API.",
  "too-many-pixels": "The picture has too many pixels for the caption API.",
  "unsupported-image": "The caption API does not read this picture format.",
  "not-an-image": "The file is not a picture.",
  "unreadable-image": "The picture is damaged.",
  "too-costly": "The picture costs too much to decode.",
  "decode-timeout": "The picture takes too long to decode.",
};

/** Until when uploads don't ask, in epoch milliseconds, and why. */
const NO_PAUSE = { until: 0, reason: "" };

/** The captioner of a site. `now` is the clock, in epoch milliseconds. */
export function createCaptioner(settings: Settings, now: () => number = Date.now): Captioner {
  const clientOptions = {
    baseUrl: settings.endpoint,
    ...(settings.apiKey === undefined ? {} : { apiKey: settings.apiKey }),
  };
  // Waiting and asking again is the job's.
  const client = createCaptionClient({ ...clientOptions, retries: 0 });
  // What follows a job for hours meets a lost connection at times.
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

/** The first of a document's pictures that the API reads: its file, then smaller variants of it. */
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
    reason: "The caption API does not read this picture format.",
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
      paused === null ? undefined : { reason: REASONS[paused.reason] ?? UNKNOWN_PAUSE, until: paused.until },
  };
}

const hasCode = (error: unknown, code: string) =>
  error instanceof CaptionApiError && error.problem.code === code;

const isGoneJob = (error: unknown) => hasCode(error, "job-not-found");

function statusOf(error: unknown): number | undefined {
  if (error instanceof CaptionApiError) return error.problem.status;
  return error instanceof CaptionTransportError ? error.status : undefined;
}

function noJobsReason(error: unknown): string | undefined {
  if (hasCode(error, "forbidden")) return 'The site\'s key lacks the scope "jobs".';
  return NO_ROUTE_STATUSES.has(statusOf(error)) ? "The caption API has no jobs." : undefined;
}

function failureOf(error: unknown, signal?: AbortSignal): Failure {
  if (signal?.aborted) return { ...AWAY, reason: "The caption API did not answer in time." };
  if (error instanceof CaptionTransportError) {
    // Of a proxy that takes smaller files than the API does: others pass it.
    if (error.status === 413) {
      const reason = "Something before the caption API refuses files as large as this one.";
      return { ok: false, reason, concerns: "picture", isPassing: false };
    }
    const reason =
      error.status === undefined
        ? "The caption API cannot be reached."
        : `Something that is not the caption API answered with status ${error.status}.`;
    return { ...AWAY, reason, retryAfterMs: cappedWait(error.retryAfterMs) };
  }
  if (!(error instanceof CaptionApiError)) throw error;
  const { code, status } = error.problem;
  const reason = REASONS[code] ?? `The caption API refused (status ${status}).`;
  if (PASSING_STATUSES.has(status) || status >= 500)
    return { ...AWAY, reason, retryAfterMs: cappedWait(error.retryAfterMs) };
  const isOfPicture = PICTURE_STATUSES.has(status) || code === "empty-body";
  return { ok: false, reason, concerns: isOfPicture ? "picture" : "service", isPassing: false };
}

const cappedWait = (ms: number | undefined) =>
  ms === undefined ? undefined : Math.min(ms, MAX_RETRY_AFTER_MS);
