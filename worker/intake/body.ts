/** Reads a body into memory, never more of it than allowed, and hashes it on arrival if that saves time. */

import { contentHash } from "../../shared/content-hash.ts";
import { toHex } from "../../shared/hex.ts";
import { type Failure, FailureError } from "../../shared/problem.ts";
import { TIMED_OUT, within } from "../request/within.ts";

export interface HashedBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly sha256: string;
}

/**
 * Bodies up to this size arrive in one or two reads, so one digest call is cheaper than a digest stream. Larger ones are
 * hashed while they arrive, so that the hash is ready with the last byte.
 */
const HASH_AT_ONCE_BYTES = 1024 * 1024;

interface Readable {
  readonly headers: Headers;
  readonly body: ReadableStream<Uint8Array> | null;
  arrayBuffer(): Promise<ArrayBuffer>;
}

export interface BodyLimits {
  readonly maxBytes: number;
  /** The longest the body may take to arrive. */
  readonly timeoutMs: number;
}

/**
 * Reads and hashes a body.
 * @throws {FailureError} `image-too-large`, `upload-timeout`, or `bad-request` if it breaks off
 */
export async function readHashed(message: Readable, limits: BodyLimits): Promise<HashedBytes> {
  const { maxBytes, timeoutMs } = limits;
  const declared = declaredLength(message.headers);
  if (declared !== undefined && declared > maxBytes) throw tooLarge(maxBytes);
  if (declared !== undefined && declared <= HASH_AT_ONCE_BYTES) {
    const buffer = await within(timeoutMs, message.arrayBuffer().catch(refuseBroken));
    if (buffer === TIMED_OUT) throw tooSlow(timeoutMs);
    const bytes = new Uint8Array(buffer);
    if (bytes.length > maxBytes) throw tooLarge(maxBytes);
    return { bytes, sha256: await contentHash(bytes) };
  }
  const digest = new crypto.DigestStream("SHA-256");
  const writer = digest.getWriter();
  try {
    const bytes = await collect(message.body, {
      ...limits,
      declared,
      onChunk: (chunk) => writer.write(chunk),
    });
    await writer.close();
    return { bytes, sha256: toHex(await digest.digest) };
  } catch (error) {
    // Nobody will await the digest of a body that was refused.
    digest.digest.catch(() => {});
    await writer.abort(error).catch(() => {});
    throw error;
  }
}

/** Reads a body. @throws {FailureError} as `readHashed` does */
export async function readBounded(message: Readable, limits: BodyLimits): Promise<Uint8Array<ArrayBuffer>> {
  const declared = declaredLength(message.headers);
  if (declared !== undefined && declared > limits.maxBytes) throw tooLarge(limits.maxBytes);
  return collect(message.body, { ...limits, declared, onChunk: async () => {} });
}

async function collect(
  body: ReadableStream<Uint8Array> | null,
  options: BodyLimits & {
    readonly declared: number | undefined;
    readonly onChunk: (chunk: Uint8Array) => Promise<void>;
  },
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  const length = await pass(body, {
    ...options,
    async onChunk(chunk) {
      await options.onChunk(chunk);
      chunks.push(chunk);
    },
  });
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** Hands a body on as it arrives, and keeps none of it. @throws {FailureError} as `readHashed` does, and what `onChunk` throws */
export async function readInChunks(
  message: Readable,
  options: BodyLimits & { readonly onChunk: (chunk: Uint8Array) => Promise<void> },
): Promise<void> {
  const declared = declaredLength(message.headers);
  if (declared !== undefined && declared > options.maxBytes) throw tooLarge(options.maxBytes);
  await pass(message.body, { ...options, declared });
}

/** Hands on each chunk, and returns how many bytes went through. */
async function pass(
  body: ReadableStream<Uint8Array> | null,
  options: BodyLimits & {
    readonly declared: number | undefined;
    readonly onChunk: (chunk: Uint8Array) => Promise<void>;
  },
): Promise<number> {
  const { maxBytes, timeoutMs, declared, onChunk } = options;
  if (body === null) return 0;
  let length = 0;
  const reader = body.getReader();
  // One timer for the whole body, not one per chunk.
  const late = Promise.withResolvers<typeof TIMED_OUT>();
  const timer = setTimeout(() => late.resolve(TIMED_OUT), timeoutMs);
  try {
    for (;;) {
      const next = await Promise.race([reader.read().catch(refuseBroken), late.promise]);
      if (next === TIMED_OUT) throw tooSlow(timeoutMs);
      if (next.done) break;
      length += next.value.length;
      if (length > maxBytes) throw tooLarge(maxBytes);
      await onChunk(next.value);
    }
  } catch (error) {
    // Not awaited, because the cancellation of a stuck body may never settle.
    reader.cancel().catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
  if (declared !== undefined && declared > length) throw cutShort();
  return length;
}

/** How many bytes a message says it has; undefined if it does not say, or says it about its coded form. */
export function declaredLength(headers: Headers): number | undefined {
  const text = headers.get("content-length");
  if (text === null || headers.has("content-encoding")) return undefined;
  const length = Number(text);
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined;
}

function tooLarge(maxBytes: number): FailureError {
  const failure: Failure = {
    code: "image-too-large",
    detail: `At most ${Math.floor(maxBytes / 1024 / 1024)} MiB are accepted.`,
  };
  return new FailureError(failure);
}

function tooSlow(timeoutMs: number): FailureError {
  const seconds = Math.round(timeoutMs / 100) / 10;
  return new FailureError({
    code: "upload-timeout",
    detail: `The body did not arrive within ${seconds} s.`,
  });
}

function cutShort(cause?: unknown): FailureError {
  const failure: Failure = { code: "bad-request", detail: "The body ended before its declared length." };
  return new FailureError(failure, { cause });
}

/** A body that breaks off is the sender's doing, not a bug of ours. */
function refuseBroken(cause: unknown): never {
  throw cutShort(cause);
}
