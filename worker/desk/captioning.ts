/**
 * Has pictures captioned through the client, four at a time: by hash first, so that known pictures are never uploaded. If
 * the service says when to come back, all of them wait for that moment. No DOM.
 */

import pLimit from "p-limit";
import {
  CaptionApiError,
  type CaptionClient,
  type CaptionQuery,
  CaptionTransportError,
} from "../../client/index.ts";
import { MAX_IMAGE_BYTES } from "../../shared/limits.ts";
import { PROBLEM_CODES, PROBLEMS, type ProblemCode } from "../../shared/problem.ts";
import type { Caption } from "../../shared/schema.ts";

const AT_ONCE = 4;
/** A longer `Retry-After` is a failure that a person is told about at once, such as a quota used up until tomorrow. */
const LONGEST_WAIT_MS = 5 * 60_000;
/** Most waits in a row that bring no caption; after that pictures fail, and a person decides. */
const MOST_WAITS = 10;

export type Picture = { readonly file: File } | { readonly url: string } | { readonly sha256: string };

export type CaptionOutcome =
  | { readonly kind: "captioned"; readonly caption: Caption }
  | {
      readonly kind: "failed";
      readonly reason: string;
      readonly canRetry: boolean;
      readonly needsKey: boolean;
    }
  /** Only its hash is known, and nobody has captioned it. */
  | { readonly kind: "lost" }
  | { readonly kind: "cancelled" };

/** The service asked to be left alone for a while. */
export interface Pause {
  /** Epoch milliseconds at which captioning goes on by itself. */
  readonly until: number;
  /** Why, in words. */
  readonly reason: string;
}

export interface Captioning {
  /**
   * Queues a picture; `onTurn` is told when the service is asked, and when the picture waits again. A `signal` that was
   * taken earlier cancels it together with what was queued then.
   */
  caption(
    picture: Picture,
    onTurn: (kind: "asking" | "waiting") => void,
    signal?: AbortSignal,
  ): Promise<CaptionOutcome>;
  /** Ends what is under way and drops what waits. */
  cancel(): void;
  /** Aborted by the next `cancel`. */
  readonly signal: AbortSignal;
  /** Pictures that wait or are under way. */
  readonly busy: number;
}

/**
 * Client and options may change between two pictures, so both are asked for when a picture's turn comes. The client must
 * pass on each `Retry-After` instead of waiting by itself.
 */
export function createCaptioning(parts: {
  readonly client: () => CaptionClient;
  readonly options: () => CaptionQuery;
  /** Called with each wait when it begins or grows longer, and with undefined when it is over. */
  readonly onPause: (pause: Pause | undefined) => void;
}): Captioning {
  let abort = new AbortController();
  let pause: (Pause & { readonly over: Promise<void> }) | undefined;
  let waitsInARow = 0;
  const limit = pLimit(AT_ONCE);
  let busy = 0;

  /** Makes all pictures wait; false if that has been tried often enough. */
  function waitFor(ms: number, reason: string, signal: AbortSignal): boolean {
    const until = Date.now() + ms;
    if (pause !== undefined && pause.until >= until) return true;
    if (pause === undefined) {
      if (waitsInARow === MOST_WAITS) return false;
      waitsInARow += 1;
    }
    const begun = { until, reason, over: sleep(ms, signal) };
    pause = begun;
    parts.onPause(begun);
    void begun.over.then(() => {
      if (pause !== begun) return;
      pause = undefined;
      parts.onPause(undefined);
    });
    return true;
  }

  async function askOnce(picture: Picture, signal: AbortSignal): Promise<CaptionOutcome> {
    const call = { ...parts.options(), signal };
    if ("sha256" in picture) {
      const found = await parts.client().find(picture.sha256, call);
      return found === undefined ? { kind: "lost" } : { kind: "captioned", caption: found };
    }
    const caption = await ("file" in picture
      ? parts.client().caption(picture.file, call)
      : parts.client().captionUrl(picture.url, call));
    return { kind: "captioned", caption };
  }

  async function askUntilAnswered(
    picture: Picture,
    signal: AbortSignal,
    onTurn: (kind: "asking" | "waiting") => void,
  ): Promise<CaptionOutcome> {
    for (;;) {
      while (pause !== undefined && !signal.aborted) await pause.over;
      if (signal.aborted) return { kind: "cancelled" };
      onTurn("asking");
      try {
        const outcome = await askOnce(picture, signal);
        waitsInARow = 0;
        return outcome;
      } catch (error) {
        if (signal.aborted) return { kind: "cancelled" };
        const ms = waitOf(error);
        if (ms === undefined || !waitFor(ms, reasonToWait(error), signal)) return failureOf(error);
        onTurn("waiting");
      }
    }
  }

  return {
    get busy() {
      return busy;
    },
    get signal() {
      return abort.signal;
    },
    async caption(picture, onTurn, signal = abort.signal) {
      busy += 1;
      try {
        return await limit(() => askUntilAnswered(picture, signal, onTurn));
      } finally {
        busy -= 1;
      }
    },
    cancel() {
      abort.abort();
      abort = new AbortController();
    },
  };
}

/** Milliseconds after which the service wants to be asked again; undefined if it does not say, or says too many. */
function waitOf(error: unknown): number | undefined {
  if (!(error instanceof CaptionApiError || error instanceof CaptionTransportError)) return undefined;
  const { retryAfterMs } = error;
  return retryAfterMs !== undefined && retryAfterMs <= LONGEST_WAIT_MS ? retryAfterMs : undefined;
}

const REASONS_TO_WAIT: Readonly<Record<string, string>> = {
  "rate-limited": "Too many requests at once.",
  overloaded: "The service is busy.",
  unavailable: "The captioner is away.",
} satisfies Partial<Record<ProblemCode, string>>;

function reasonToWait(error: unknown): string {
  const code = error instanceof CaptionApiError ? error.problem.code : "";
  return REASONS_TO_WAIT[code] ?? "The service asks to wait.";
}

/** Resolves after `ms`, or early and without an error when aborted. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

export const NEEDS_KEY = "A valid API key is needed: enter it under Options.";

/** Failures in words for people at the desk, not for callers of the API. */
const WORDS: Readonly<Record<string, string>> = {
  "too-many-pixels": "The picture is too large. Make it smaller and add it again.",
  "image-too-large": `The file is over ${MAX_IMAGE_BYTES / 1024 / 1024} MiB. Make it smaller and add it again.`,
  "empty-body": "The file is empty. If it is stored in a cloud, download it first, then add it again.",
  "not-an-image": "This is not a picture.",
  "unsupported-image": "This kind of picture is not supported. Save it as JPEG, PNG or WebP.",
  "unreadable-image": "The picture is damaged.",
  "url-refused": "This address may not be fetched: only public web addresses are.",
  "url-unreachable": "The address did not answer with a picture.",
  "quota-exceeded": "Today's captions of this key are used up.",
  "rate-limited": "Too many requests at once. Wait a minute, then retry.",
  overloaded: "The service is busy. Retry in a moment.",
  unavailable: "The captioner is away. Retry in a moment.",
  "bad-options": "The service does not take these options: look under Options.",
  unauthorized: NEEDS_KEY,
  forbidden: "The API key does not allow this.",
} satisfies Partial<Record<ProblemCode, string>>;

/** Whether the same picture, or address, would fail with this code again. */
function isFinal(code: string): boolean {
  if (code === "url-refused" || code === "empty-body") return true;
  const known = PROBLEM_CODES.find((problem) => problem === code);
  return known !== undefined && PROBLEMS[known].follows === "bytes";
}

/** What a person is told about an error of the client, or a file that cannot be read. */
export function failureOf(error: unknown): Extract<CaptionOutcome, { kind: "failed" }> {
  if (error instanceof CaptionApiError) {
    const { code, title, detail } = error.problem;
    return {
      kind: "failed",
      reason: WORDS[code] ?? `${title}. ${detail}`,
      canRetry: !isFinal(code),
      needsKey: code === "unauthorized",
    };
  }
  if (error instanceof DOMException) {
    const reason = "The file cannot be read: it was moved or changed, or may not be opened. Add it again.";
    return { kind: "failed", reason, canRetry: true, needsKey: false };
  }
  const status = error instanceof CaptionTransportError ? error.status : undefined;
  const reason =
    status === undefined
      ? "The service could not be reached. Check your connection and retry."
      : `Something between here and the service answered with ${status}. Retry in a moment.`;
  return { kind: "failed", reason, canRetry: true, needsKey: false };
}
