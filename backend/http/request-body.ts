/** Reads a request's body under a byte limit, a deadline and the server's memory budget, and finds the picture in it. */

import * as z from "zod";
import { MAX_IMAGE_BYTES } from "../../shared/limits.ts";
import { failure, type Result, success } from "../../shared/result.ts";
import { type GenerationOptions, ImageToTextRequest } from "../../shared/schema.ts";
import { tooManyBytes } from "../captioner/captioner.ts";
import type { Permit } from "./admission.ts";

/** A picture of the largest size in base64, and room for the JSON around it. */
const MAX_JSON_BYTES = Math.ceil(MAX_IMAGE_BYTES / 3) * 4 + 64 * 1024;

export interface PictureRequest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly options: GenerationOptions;
}

/**
 * The picture and the options of a Hugging Face image-to-text request: raw bytes, or JSON with base64.
 * Fails with `image-too-large`, `overloaded`, `upload-timeout`, `bad-request` or `bad-options`.
 * https://huggingface.co/docs/inference-providers/tasks/image-to-text
 */
export async function readPictureRequest(
  request: Request,
  permit: Permit,
  signal: AbortSignal,
): Promise<Result<PictureRequest>> {
  const isJson = /^application\/json\b/i.test(request.headers.get("content-type") ?? "");
  const maxBytes = isJson ? MAX_JSON_BYTES : MAX_IMAGE_BYTES;
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) return tooManyBytes();
  const body = await readBody(request, { maxBytes, permit, signal });
  if (!body.ok || !isJson) return body.ok ? success({ bytes: body.value, options: {} }) : body;
  return parseJsonRequest(body.value);
}

async function readBody(
  request: Request,
  { maxBytes, permit, signal }: { maxBytes: number; permit: Permit; signal: AbortSignal },
): Promise<Result<Uint8Array<ArrayBuffer>>> {
  if (request.body === null) return success(new Uint8Array());
  const reader = request.body.getReader();
  const stop = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", stop);
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      length += next.value.length;
      if (length > maxBytes) return tooManyBytes();
      if (!permit.reserve(next.value.length)) {
        return failure("overloaded", "Too many bytes are being uploaded at once.", { retryAfterSeconds: 1 });
      }
      chunks.push(next.value);
    }
  } catch (error) {
    if (!signal.aborted) return failure("bad-request", "The body ended early.");
    if (!(error instanceof Error)) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    reader.cancel().catch(() => {});
  }
  if (signal.aborted) return failure("upload-timeout", "The body did not arrive in time.");
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return success(bytes);
}

function parseJsonRequest(body: Uint8Array): Result<PictureRequest> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return failure("bad-request", "The body is not JSON.");
  }
  const parsed = ImageToTextRequest.safeParse(json);
  if (!parsed.success) {
    const code = parsed.error.issues.some(({ path }) => path[0] === "parameters")
      ? "bad-options"
      : "bad-request";
    return failure(code, z.prettifyError(parsed.error));
  }
  const { inputs, parameters: { generate_kwargs, ...parameters } = {} } = parsed.data;
  const bytes = Uint8Array.from(Buffer.from(inputs.replace(/^data:[^,]{0,200};base64,/, ""), "base64"));
  return bytes.length > MAX_IMAGE_BYTES
    ? tooManyBytes()
    : success({ bytes, options: { ...generate_kwargs, ...parameters } });
}
