/**
 * Why there is no text, in our own words: what the API's refusals and lost connections mean to an editor and to a
 * job.
 */

import { CaptionApiError, CaptionTransportError } from "alt-text-edge-client";
import { MAX_RETRY_AFTER_MS } from "./limits.ts";

export interface Failure {
  readonly ok: false;
  /** A sentence for the editor, without any of the server's own words. */
  readonly reason: string;
  /** `picture`: only this picture fails. `service`: every other picture would fail too. */
  readonly concerns: "picture" | "service";
  /** Whether asking again later can help. */
  readonly isPassing: boolean;
  /** When the service asked to be called again, in milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
}

/** What all failures have in common that pass by themselves. */
export const AWAY: Pick<Failure, "ok" | "concerns" | "isPassing"> = {
  ok: false,
  concerns: "service",
  isPassing: true,
};

/** Statuses from an API without such a route, or from a proxy that does not let it through. */
const NO_ROUTE_STATUSES: ReadonlySet<number | undefined> = new Set([404, 405, 501]);

/**
 * Refusals that pass by themselves, like all from 500 on: a body that came too slowly, or twice at once; too many
 * requests.
 */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 409, 429]);
/** Refusals that concern a single picture. */
const PICTURE_STATUSES: ReadonlySet<number> = new Set([413, 415, 422]);

/** Sentences for the API's codes; whether a failure passes is decided by the status. */
const REASONS: Readonly<Record<string, string>> = {
  unauthorized: "The caption API does not accept the site's key.",
  forbidden: "The site's key does not allow captions.",
  "quota-exceeded": "The caption API's daily quota is used up.",
  "rate-limited": "The caption API gets too many requests.",
  overloaded: "The caption API is at capacity.",
  "upload-timeout": "The picture took too long to arrive at the caption API.",
  "empty-body": "The file is empty.",
  "image-too-large": "The picture has too many bytes for the caption API.",
  "too-many-pixels": "The picture has too many pixels for the caption API.",
  "unsupported-image": "The caption API does not support this picture format.",
  "not-an-image": "The file is not a picture.",
  "unreadable-image": "The picture is damaged.",
  "too-costly": "The picture costs too much to decode.",
  "decode-timeout": "The picture takes too long to decode.",
};

/** The sentence for one of the API's codes; undefined if we have none. */
export const reasonOf = (code: string): string | undefined => REASONS[code];

const hasCode = (error: unknown, code: string) =>
  error instanceof CaptionApiError && error.problem.code === code;

/**
 * Whether a picture that nobody is waiting for is asked about again: also when the service refuses the site, because
 * somebody then gives it another key.
 */
export const isAskedLater = ({ isPassing, concerns }: Failure): boolean =>
  isPassing || concerns === "service";

/** Whether the API has forgotten the job or never had it. */
export const isGoneJob = (error: unknown) => hasCode(error, "job-not-found");

function statusOf(error: unknown): number | undefined {
  if (error instanceof CaptionApiError) return error.problem.status;
  return error instanceof CaptionTransportError ? error.status : undefined;
}

/**
 * Why pictures must be requested one by one after this error of submitting a job; undefined if the error is not
 * about jobs.
 */
export function noJobsReason(error: unknown): string | undefined {
  if (hasCode(error, "forbidden")) return 'The site\'s key lacks the scope "jobs".';
  return NO_ROUTE_STATUSES.has(statusOf(error)) ? "The caption API does not offer jobs." : undefined;
}

/** What an error of the client means to an editor. `signal` is our own deadline's. @throws `error` if it is a bug */
export function failureOf(error: unknown, signal?: AbortSignal): Failure {
  if (signal?.aborted) return { ...AWAY, reason: "The caption API did not answer in time." };
  if (error instanceof CaptionTransportError) {
    // From a proxy that allows smaller files than the API does; smaller pictures pass it.
    if (error.status === 413) {
      const reason = "Something in front of the caption API refuses files as large as this one.";
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
