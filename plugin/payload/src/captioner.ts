/** Asks the caption API for a picture's text, and says in our own words why there is none. */

import {
  CaptionApiError,
  type CaptionClient,
  CaptionTransportError,
  createCaptionClient,
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
}

const AWAY: Pick<Failure, "ok" | "concerns" | "isPassing"> = {
  ok: false,
  concerns: "service",
  isPassing: true,
};

/** Sentences for codes of the API; what is passing is told from the status. */
const REASONS: Readonly<Record<string, string>> = {
  unauthorized: "The caption API does not accept the site's key.",
  forbidden: "The site's key may not ask for captions.",
  "quota-exceeded": "The caption API's daily quota is used up.",
  "rate-limited": "The caption API is asked too often.",
  overloaded: "The caption API is at capacity.",
  "image-too-large": "The picture has too many bytes for the caption API.",
  "too-many-pixels": "The picture has too many pixels for the caption API.",
  "unsupported-image": "The caption API does not read this picture format.",
  "not-an-image": "The file is not a picture.",
  "unreadable-image": "The picture is damaged.",
  "too-costly": "The picture costs too much to decode.",
  "decode-timeout": "The picture takes too long to decode.",
};

/** The captioner of a site. `now` is the clock, in epoch milliseconds. */
export function createCaptioner(settings: Settings, now: () => number = Date.now): Captioner {
  const clientOptions = {
    baseUrl: settings.endpoint,
    ...(settings.apiKey === undefined ? {} : { apiKey: settings.apiKey }),
  };
  // Waiting and asking again is the job's.
  const client = createCaptionClient({ ...clientOptions, retries: 0 });
  let pausedUntil = 0;

  return {
    async describeNow(pictures, maxLength) {
      if (settings.inlineTimeoutMs === 0) return { ...AWAY, reason: "Descriptions come from the job." };
      if (now() < pausedUntil) return { ...AWAY, reason: "The caption API was not available a moment ago." };
      const described = await describeFirst(client, pictures, maxLength, {}, settings.inlineTimeoutMs);
      if (!described.ok && described.concerns === "service") {
        pausedUntil = now() + Math.max(INLINE_PAUSE_MS, described.retryAfterMs ?? 0);
      }
      return described;
    },
    async describe(pictures, maxLength, wording = {}) {
      const described = await describeFirst(client, pictures, maxLength, wording, JOB_TIMEOUT_MS);
      if (described.ok) pausedUntil = 0;
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
      ...(maxLength === undefined ? {} : { max_length: apiLength(maxLength) }),
      signal,
    });
    const text = caption.alt.trim();
    if (text === "" || (maxLength !== undefined && text.length > maxLength)) {
      return { ok: false, reason: "No usable text came back.", concerns: "picture", isPassing: false };
    }
    return {
      ok: true,
      text,
      score: caption.score,
      needsReview: caption.needs_review,
      cached: caption.cached,
    };
  } catch (error) {
    return failureOf(error, signal);
  }
}

const apiLength = (maxLength: number) =>
  Math.min(Math.max(Math.min(maxLength, ALT_CHARACTERS.usual), ALT_CHARACTERS.min), ALT_CHARACTERS.max);

function failureOf(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) return { ...AWAY, reason: "The caption API did not answer in time." };
  if (error instanceof CaptionTransportError) {
    const reason =
      error.status === undefined
        ? "The caption API cannot be reached."
        : `Something that is not the caption API answered with status ${error.status}.`;
    return { ...AWAY, reason, retryAfterMs: cappedWait(error.retryAfterMs) };
  }
  if (!(error instanceof CaptionApiError)) throw error;
  const { code, status } = error.problem;
  const reason = REASONS[code] ?? `The caption API refused (status ${status}).`;
  if (status === 429 || status >= 500)
    return { ...AWAY, reason, retryAfterMs: cappedWait(error.retryAfterMs) };
  const concerns = status === 413 || status === 415 || status === 422 ? "picture" : "service";
  return { ok: false, reason, concerns, isPassing: false };
}

const cappedWait = (ms: number | undefined) =>
  ms === undefined ? undefined : Math.min(ms, MAX_RETRY_AFTER_MS);
