/**
 * Typed client of the caption API for browsers, Node and Workers: only `fetch` and Web Crypto.
 * It hashes first and asks `GET`, so a picture that anybody has captioned before is never uploaded again.
 */

import * as z from "zod/mini";
import { canHash, contentHash } from "../shared/content-hash.ts";
import { MAX_BATCH_ITEMS } from "../shared/limits.ts";
import {
  BatchError,
  type BatchItem,
  BatchLine,
  Caption,
  type CaptionQuery,
  HeaderSecret,
} from "../shared/schema.ts";
import { AnyProblem, answerOf, parseAnswer, refusalOf } from "./answers.ts";
import { CaptionApiError, CaptionTransportError } from "./errors.ts";
import { createJobsClient, type JobsClient } from "./jobs.ts";
import { linesOf } from "./lines.ts";
import { type RetryOptions, withRetries } from "./retry.ts";

export interface ClientOptions {
  /** Where the API is, e.g. `https://captions.example.com`. */
  readonly baseUrl: string;
  /** `ate_...`; absent if the API is open. */
  readonly apiKey?: string | undefined;
  /**
   * Tries after the first, on 429, 503, 409 with a `Retry-After` and lost connections.
   * @default 3
   */
  readonly retries?: number | undefined;
  /**
   * Longest `Retry-After` that is waited for, in milliseconds; after a longer one the call fails at once.
   * @default 60_000
   */
  readonly maxRetryAfterMs?: number | undefined;
  /**
   * How requests are sent, for tests or a service binding.
   * @default the global `fetch`
   */
  readonly fetch?: typeof fetch | undefined;
}

export interface CallOptions extends CaptionQuery {
  readonly signal?: AbortSignal | undefined;
}

/** A line of a batch, with the problem of an API that may be newer than this client. */
export type ClientBatchLine = z.infer<typeof AnyBatchLine>;

export interface CaptionClient {
  /** The caption of a picture, uploaded only if nobody has captioned it before. */
  caption(picture: Blob | Uint8Array | ArrayBuffer, options?: CallOptions): Promise<Caption>;
  /** The caption of the picture at a public address, which the API fetches. */
  captionUrl(url: string, options?: CallOptions): Promise<Caption>;
  /** The caption of a picture that was captioned before; undefined if it was not. */
  find(sha256: string, options?: CallOptions): Promise<Caption | undefined>;
  /** Has every caption of a picture forgotten; the key needs the scope `delete`. */
  forget(sha256: string, options?: Pick<CallOptions, "signal">): Promise<void>;
  /**
   * Captions of up to 100 pictures, each as soon as it is done; `index` says which. Throws `CaptionTransportError` if the
   * answer breaks off early: what has come by then is good.
   */
  batch(items: readonly BatchItem[], options?: CallOptions): AsyncGenerator<ClientBatchLine, void, undefined>;
  /** Whole libraries, captioned in the background. */
  readonly jobs: JobsClient;
}

const AnyBatchLine = z.union([BatchLine, z.extend(BatchError, { problem: AnyProblem })]);

/**
 * A client of the API at `baseUrl`. Its calls throw `CaptionApiError` if the API refuses, `CaptionTransportError` if it
 * cannot be reached or something else answers, and the signal's reason when aborted.
 * @throws {RangeError} if `retries` or `maxRetryAfterMs` is not a number from 0 up, or if no header can carry `apiKey`; its
 * calls throw it if nothing can be fetched from `baseUrl`, such as one without `https://`
 *
 * @example
 * const client = createCaptionClient({ baseUrl: "https://captions.example.com", apiKey });
 * const { alt, needs_review } = await client.caption(file);
 */
export function createCaptionClient(options: ClientOptions): CaptionClient {
  const baseUrl = options.baseUrl.replace(/\/+$/, "");
  const apiKey = options.apiKey === undefined ? undefined : sendable(options.apiKey);
  const retry: RetryOptions = {
    retries: zeroOrMore("retries", options.retries ?? 3),
    maxRetryAfterMs: zeroOrMore("maxRetryAfterMs", options.maxRetryAfterMs ?? 60_000),
    wait,
    random: Math.random,
    now: Date.now,
  };

  async function send(path: string, init: RequestInit, { signal, ...query }: CallOptions): Promise<Response> {
    const headers = new Headers(init.headers);
    if (apiKey !== undefined) headers.set("authorization", `Bearer ${apiKey}`);
    const request = { ...init, headers, ...(signal === undefined ? {} : { signal }) };
    const target = `${baseUrl}${path}${queryString(query)}`;
    if (options.fetch === undefined) requireReachable(target, baseUrl);
    try {
      return await withRetries(() => (options.fetch ?? fetch)(target, request), { ...retry, signal });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new CaptionTransportError("The caption API could not be reached.", { cause: error });
    }
  }

  async function find(sha256: string, call: CallOptions = {}): Promise<Caption | undefined> {
    const response = await send(`/v1/captions/${sha256}`, {}, call);
    if (response.ok) return answerOf(response, Caption, call);
    const error = await refusalOf(response, call);
    if (error instanceof CaptionApiError && error.problem.code === "not-captioned") return undefined;
    throw error;
  }

  return {
    jobs: createJobsClient({ send, wait }),
    find,
    async forget(sha256, call = {}) {
      const response = await send(`/v1/captions/${sha256}`, { method: "DELETE" }, call);
      if (!response.ok) throw await refusalOf(response, call);
    },
    async caption(picture, call = {}) {
      const bytes = await bytesOf(picture);
      // A page served over plain http cannot hash. The service can, once it has the bytes.
      const found = canHash() ? await find(await contentHash(bytes), call) : undefined;
      if (found !== undefined) return found;
      const headers = { "content-type": "application/octet-stream" };
      // A blob is sent without a copy; bytes would be copied on the caller's thread.
      const body = picture instanceof Blob ? picture : bytes;
      const response = await send("/v1/captions", { method: "POST", body, headers }, call);
      if (!response.ok) throw await refusalOf(response, call);
      return answerOf(response, Caption, call);
    },
    async captionUrl(url, call = {}) {
      const response = await send("/v1/captions", jsonRequest({ url }), call);
      if (!response.ok) throw await refusalOf(response, call);
      return answerOf(response, Caption, call);
    },
    async *batch(items, call = {}) {
      if (items.length === 0) return;
      if (items.length > MAX_BATCH_ITEMS) {
        throw new RangeError(`expected at most ${MAX_BATCH_ITEMS} items, got ${items.length}`);
      }
      const response = await send("/v1/captions/batch", jsonRequest({ items }), call);
      if (!response.ok) throw await refusalOf(response, call);
      let seen = 0;
      try {
        for await (const line of linesOf(response)) {
          yield parseAnswer(AnyBatchLine, line, response);
          seen += 1;
        }
      } catch (error) {
        if (call.signal?.aborted) throw call.signal.reason;
        if (error instanceof CaptionTransportError) throw error;
        throw brokenOff(seen, items.length, error);
      }
      if (seen < items.length) throw brokenOff(seen, items.length);
    },
  };
}

/** The error of a batch that broke off. The lines received by then are good; the rest can be requested again. */
function brokenOff(seen: number, total: number, cause?: unknown): CaptionTransportError {
  return new CaptionTransportError(`The batch broke off after ${seen} of ${total} items.`, { cause });
}

function jsonRequest(body: unknown): RequestInit {
  return { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
}

function queryString(query: CaptionQuery): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

async function bytesOf(picture: Blob | Uint8Array | ArrayBuffer): Promise<Uint8Array<ArrayBuffer>> {
  // Neither `fetch` nor Web Crypto takes memory that is shared between threads.
  if (picture instanceof Uint8Array) return isUnshared(picture) ? picture : new Uint8Array(picture);
  return new Uint8Array(picture instanceof ArrayBuffer ? picture : await picture.arrayBuffer());
}

/**
 * Refuses an address that `fetch` cannot request, because its error would look like an API that is unreachable just now. In
 * a page the address may be relative.
 */
function requireReachable(target: string, baseUrl: string): void {
  const here = (globalThis as { readonly location?: { readonly href: string } }).location?.href;
  const protocol = URL.canParse(target, here) ? new URL(target, here).protocol : undefined;
  if (protocol === "http:" || protocol === "https:") return;
  throw new RangeError(`expected baseUrl to begin with https:// or http://, got ${JSON.stringify(baseUrl)}`);
}

function isUnshared(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer;
}

/** Refuses a key that no header can carry, because the error that `fetch` throws for it would show the key. */
function sendable(apiKey: string): string {
  const { data } = HeaderSecret.safeParse(apiKey);
  if (data === undefined) throw new RangeError("expected apiKey to be one line of ASCII characters");
  return data;
}

/**
 * Refuses NaN too, which `Number()` makes of a variable that is not set: no comparison with it holds, so the client would
 * retry and wait without end.
 */
function zeroOrMore(name: string, value: number): number {
  if (value >= 0) return value;
  throw new RangeError(`expected ${name} to be 0 or more, got ${value}`);
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
