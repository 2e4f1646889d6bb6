/** Reads a request's body within a byte limit, a deadline and the server's memory budget, and finds the picture in it. */

import { imageTooLarge } from "../../shared/intake/base64.ts";
import { isJsonType, mediaType, requireUncoded } from "../../shared/intake/body.ts";
import { type ImageToText, parseImageToText } from "../../shared/intake/image-to-text.ts";
import { MAX_IMAGE_BYTES, MAX_JSON_BYTES } from "../../shared/limits.ts";
import { failure, type Result, success } from "../../shared/result.ts";
import type { Permit } from "./admission.ts";

/**
 * Reads the picture and the options of a Hugging Face image-to-text request: raw bytes, or JSON with base64. Fails
 * with `image-too-large`, `overloaded`, `upload-timeout`, `unsupported-encoding`, or as `parseImageToText` does.
 * https://huggingface.co/docs/inference-providers/tasks/image-to-text
 */
export async function readPictureRequest(
  request: Request,
  permit: Permit,
  signal: AbortSignal,
): Promise<Result<ImageToText>> {
  const uncoded = requireUncoded(request);
  if (!uncoded.ok) return uncoded;
  const isJson = isJsonType(mediaType(request));
  const maxBytes = isJson ? MAX_JSON_BYTES : MAX_IMAGE_BYTES;
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) return imageTooLarge();
  const body = await readBody(request, { maxBytes, permit, signal });
  if (!body.ok || !isJson) return body.ok ? success({ bytes: body.value, options: {} }) : body;
  return parseImageToText(body.value);
}

async function readBody(
  request: Request,
  { maxBytes, permit, signal }: { maxBytes: number; permit: Permit; signal: AbortSignal },
): Promise<Result<Uint8Array<ArrayBuffer>>> {
  if (request.body === null) return success(new Uint8Array());
  const reader = request.body.getReader();
  const stop = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", stop);
  // Grows in place and is freed as soon as it is no longer needed. Pieces joined at the end would be held twice,
  // and then until they are collected.
  const buffer = new ArrayBuffer(0, { maxByteLength: maxBytes });
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const begin = buffer.byteLength;
      if (begin + next.value.length > maxBytes) return imageTooLarge();
      if (!permit.reserve(next.value.length)) {
        return failure("overloaded", "Too many bytes are being uploaded at once.", { retryAfterSeconds: 1 });
      }
      buffer.resize(begin + next.value.length);
      new Uint8Array(buffer).set(next.value, begin);
    }
  } catch (error) {
    if (!signal.aborted) return failure("bad-request", "The body ended early.");
    if (!(error instanceof Error)) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    void discardRest(reader, maxBytes);
  }
  if (signal.aborted) return failure("upload-timeout", "The body did not arrive in time.");
  return success(new Uint8Array(buffer.transferToFixedLength()));
}

/**
 * Reads and drops the rest of a refused body, up to as many bytes again as are accepted. Then the connection can be
 * used again, which a proxy does at once. `@hono/node-server` hangs up on callers that keep sending long after the
 * answer.
 */
async function discardRest(reader: ReadableStreamDefaultReader<Uint8Array>, maxBytes: number): Promise<void> {
  try {
    let left = maxBytes;
    for (let next = await reader.read(); !next.done && left > 0; next = await reader.read()) {
      left -= next.value.length;
    }
    await reader.cancel();
  } catch {
    // The caller has gone.
  }
}
