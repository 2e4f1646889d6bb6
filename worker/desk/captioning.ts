/**
 * Has pictures captioned through the client, four at a time: by hash first, so that what is known is never uploaded. No DOM.
 */

import pLimit from "p-limit";
import {
  CaptionApiError,
  type CaptionClient,
  type CaptionQuery,
  CaptionTransportError,
} from "../../client/index.ts";
import { PROBLEM_CODES, PROBLEMS } from "../../shared/problem.ts";
import type { Caption } from "../../shared/schema.ts";

const AT_ONCE = 4;

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

export interface Captioning {
  /** Queues a picture; `onBegin` is told when its turn comes. */
  caption(picture: Picture, onBegin: () => void): Promise<CaptionOutcome>;
  /** Ends what is under way and drops what waits. */
  cancel(): void;
  /** Pictures that wait or are under way. */
  readonly busy: number;
}

/** The client and options may change between two pictures: both are asked for when a picture's turn comes. */
export function createCaptioning(parts: {
  readonly client: () => CaptionClient;
  readonly options: () => CaptionQuery;
}): Captioning {
  let abort = new AbortController();
  const limit = pLimit(AT_ONCE);

  async function ask(picture: Picture, signal: AbortSignal): Promise<CaptionOutcome> {
    const call = { ...parts.options(), signal };
    try {
      if ("sha256" in picture) {
        const found = await parts.client().find(picture.sha256, call);
        return found === undefined ? { kind: "lost" } : { kind: "captioned", caption: found };
      }
      const caption = await ("file" in picture
        ? parts.client().caption(picture.file, call)
        : parts.client().captionUrl(picture.url, call));
      return { kind: "captioned", caption };
    } catch (error) {
      return signal.aborted ? { kind: "cancelled" } : failureOf(error);
    }
  }

  return {
    get busy() {
      return limit.activeCount + limit.pendingCount;
    },
    caption(picture, onBegin) {
      const { signal } = abort;
      return limit(async () => {
        if (signal.aborted) return { kind: "cancelled" };
        onBegin();
        return ask(picture, signal);
      });
    },
    cancel() {
      abort.abort();
      abort = new AbortController();
    },
  };
}

/** Failures in words for whoever reads them here, not for whoever calls the API. */
const WORDS: Readonly<Record<string, string>> = {
  "too-many-pixels": "The picture is too large. Make it smaller and add it again.",
  "image-too-large": "The file is over 20 MiB. Make it smaller and add it again.",
  "not-an-image": "This is not a picture.",
  "unsupported-image": "This kind of picture is not read. Save it as JPEG, PNG or WebP.",
  "unreadable-image": "The picture is damaged.",
  "url-refused": "This address may not be fetched: only public web addresses are.",
  "url-unreachable": "The address did not answer with a picture.",
  "quota-exceeded": "Today's captions of this key are used up.",
  "rate-limited": "Too many requests at once. Wait a minute, then retry.",
  overloaded: "The service is busy. Retry in a moment.",
  unavailable: "The captioner is away. Retry in a moment.",
  unauthorized: "A valid API key is needed: enter it under Options.",
  forbidden: "The API key does not allow this.",
};
/** Whether the same picture, or address, would meet it again. */
function isFinal(code: string): boolean {
  const known = PROBLEM_CODES.find((problem) => problem === code);
  return known === "url-refused" || (known !== undefined && PROBLEMS[known].follows === "bytes");
}

function failureOf(error: unknown): CaptionOutcome {
  if (error instanceof CaptionApiError) {
    const { code, title, detail } = error.problem;
    return {
      kind: "failed",
      reason: WORDS[code] ?? `${title}. ${detail}`,
      canRetry: !isFinal(code),
      needsKey: code === "unauthorized",
    };
  }
  const status = error instanceof CaptionTransportError ? error.status : undefined;
  const reason =
    status === undefined
      ? "The service could not be reached. Check your connection and retry."
      : `Something between here and the service answered with ${status}. Retry in a moment.`;
  return { kind: "failed", reason, canRetry: true, needsKey: false };
}
