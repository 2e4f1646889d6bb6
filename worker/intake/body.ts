/** Reads a body into memory, never more of it than allowed, and hashes it on the way where that saves time. */

import { contentHash, toHex } from "../../shared/content-hash.ts";
import { type Failure, FailureError } from "../../shared/problem.ts";

export interface HashedBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly sha256: string;
}

/**
 * Bodies up to this size arrive in one or two reads: one digest call is cheaper than a digest stream.
 * Larger ones are hashed while they arrive, so that the hash is ready with the last byte.
 */
const HASH_AT_ONCE_BYTES = 1024 * 1024;

interface Readable {
  readonly headers: Headers;
  readonly body: ReadableStream<Uint8Array> | null;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** Reads and hashes. @throws {FailureError} `image-too-large` past `maxBytes`, `bad-request` where it breaks off. */
export async function readHashed(message: Readable, maxBytes: number): Promise<HashedBytes> {
  const declared = declaredLength(message.headers);
  if (declared !== undefined && declared > maxBytes) throw tooLarge(maxBytes);
  if (declared !== undefined && declared <= HASH_AT_ONCE_BYTES) {
    const bytes = new Uint8Array(await message.arrayBuffer().catch(refuseBroken));
    if (bytes.length > maxBytes) throw tooLarge(maxBytes);
    return { bytes, sha256: await contentHash(bytes) };
  }
  const digest = new crypto.DigestStream("SHA-256");
  const writer = digest.getWriter();
  try {
    const bytes = await collect(message.body, {
      maxBytes,
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

/** Reads. @throws {FailureError} `image-too-large` past `maxBytes`, `bad-request` where it breaks off. */
export async function readBounded(message: Readable, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const declared = declaredLength(message.headers);
  if (declared !== undefined && declared > maxBytes) throw tooLarge(maxBytes);
  return collect(message.body, { maxBytes, declared, onChunk: async () => {} });
}

async function collect(
  body: ReadableStream<Uint8Array> | null,
  options: {
    readonly maxBytes: number;
    readonly declared: number | undefined;
    readonly onChunk: (chunk: Uint8Array) => Promise<void>;
  },
): Promise<Uint8Array<ArrayBuffer>> {
  const { maxBytes, declared, onChunk } = options;
  if (body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value: chunk } = await reader.read().catch(refuseBroken);
    if (done) break;
    length += chunk.length;
    if (length > maxBytes) {
      await reader.cancel().catch(() => {});
      throw tooLarge(maxBytes);
    }
    await onChunk(chunk);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  if (declared !== undefined && declared > length) throw cutShort();
  return bytes;
}

function declaredLength(headers: Headers): number | undefined {
  const text = headers.get("content-length");
  // Of a coded body it is the coded length.
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

function cutShort(cause?: unknown): FailureError {
  const failure: Failure = { code: "bad-request", detail: "The body ended before its declared length." };
  return new FailureError(failure, { cause });
}

/** A body that breaks off is the sender's doing, not a bug of ours. */
function refuseBroken(cause: unknown): never {
  throw cutShort(cause);
}
