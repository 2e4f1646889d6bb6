/**
 * Fetches a picture from an address that a caller gave. Every hop is checked, time and size are bounded while it streams,
 * and nothing that the other side says (status, headers, error) is passed on.
 */

import { MAX_IMAGE_BYTES } from "../../../shared/limits.ts";
import { FailureError, type ProblemCode } from "../../../shared/problem.ts";
import { retryAfterMs } from "../../../shared/retry-after.ts";
import { timeLimit } from "../../request/time-limit.ts";
import { declaredLength, type HashedBytes, readHashed } from "../body.ts";
import { refuseAddress } from "./address-policy.ts";

const MAX_REDIRECTS = 3;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

const BODY_FAILURES: ReadonlySet<ProblemCode> = new Set(["bad-request", "upload-timeout"]);

export interface FetchOptions {
  readonly fetch: typeof fetch;
  /** `host:port` that may be fetched although they are not public. */
  readonly allowedHosts: readonly string[];
  readonly timeoutMs: number;
  /**
   * Waits until so many bytes may be held. Called with the length that the picture's host declares, or else with the most
   * that is accepted.
   */
  readonly hold?: ((bytes: number) => Promise<void>) | undefined;
}

/** `url-unreachable` for a host that asks for a pause: it may be in good health, but have had too many requests. */
export class BusyHostError extends FailureError {
  /** The wait that the host asks for; undefined if it names no time. */
  readonly retryAfterMs: number | undefined;

  constructor(retryAfterMs: number | undefined) {
    super(unreachable("its host asks for a pause").failure);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The bytes behind `address`.
 * @throws {FailureError} `url-refused`, `url-unreachable` (a BusyHostError too) or `image-too-large`.
 */
export async function fetchPicture(address: string, options: FetchOptions): Promise<HashedBytes> {
  const limit = timeLimit(options.timeoutMs);
  const { signal } = limit;
  try {
    const response = await follow(new URL(address), signal, options);
    // Getting room may take long while the captioner is slow, and the picture's host is not to blame for that.
    if (options.hold) await limit.without(options.hold(expectedBytes(response)));
    const fetched = await readPicture(response, options.timeoutMs);
    if (fetched.bytes.length === 0) throw unreachable("it answered with nothing");
    return fetched;
  } catch (error) {
    // Here the caller is not to blame for a body that broke off or came too slowly.
    const isTheirs = error instanceof FailureError && BODY_FAILURES.has(error.failure.code);
    if (error instanceof FailureError && !isTheirs) throw error;
    throw unreachable(signal.aborted ? "it took too long" : "it could not be read", error);
  } finally {
    limit.end();
  }
}

async function readPicture(response: Response, timeoutMs: number): Promise<HashedBytes> {
  try {
    return await readHashed(response, { maxBytes: MAX_IMAGE_BYTES, timeoutMs });
  } catch (error) {
    // A body that was refused by its declared length has not been read, and would keep its connection open.
    if (!response.bodyUsed) response.body?.cancel().catch(() => {});
    throw error;
  }
}

function expectedBytes({ headers }: Response): number {
  return Math.min(declaredLength(headers) ?? MAX_IMAGE_BYTES, MAX_IMAGE_BYTES);
}

async function follow(start: URL, signal: AbortSignal, options: FetchOptions): Promise<Response> {
  let url = start;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const failure = refuseAddress(url, options.allowedHosts);
    if (failure !== undefined) throw new FailureError(failure);
    const response = await options
      .fetch(url.href, {
        redirect: "manual",
        signal,
        headers: { accept: "image/*", "accept-encoding": "identity", "user-agent": "alt-text-edge" },
      })
      .catch((error: unknown) => {
        throw signal.aborted ? error : unreachable("its host could not be reached", error);
      });
    if (response.ok) return response;
    await response.body?.cancel();
    requireRoom(response);
    const location = response.headers.get("location");
    if (!REDIRECTS.has(response.status) || location === null)
      throw unreachable("it did not answer with a picture");
    if (!URL.canParse(location, url.href)) throw unreachable("it redirects without a valid address");
    url = new URL(location, url);
  }
  throw unreachable(`it redirects more than ${MAX_REDIRECTS} times`);
}

/** @throws {BusyHostError} on 429 (RFC 6585), and on a 503 that names a time (RFC 9110, section 15.6.4) */
function requireRoom({ status, headers }: Response): void {
  const askedMs = retryAfterMs(headers.get("retry-after"), Date.now());
  if (status === 429 || (status === 503 && askedMs !== undefined)) throw new BusyHostError(askedMs);
}

function unreachable(reason: string, cause?: unknown): FailureError {
  return new FailureError(
    { code: "url-unreachable", detail: `The picture was not fetched: ${reason}.` },
    { cause },
  );
}
