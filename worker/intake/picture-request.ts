/** `POST /v1/captions` in all its forms: raw bytes, a form, JSON with base64 or an address. What leaves here is one picture. */

import { contentHash } from "../../shared/content-hash.ts";
import { MAX_FORM_BYTES, MAX_IMAGE_BYTES, MAX_JSON_BYTES } from "../../shared/limits.ts";
import { FailureError } from "../../shared/problem.ts";
import { CaptionJsonRequest, type CaptionOptions } from "../../shared/schema.ts";
import type { Picture } from "../picture.ts";
import { decodeBase64 } from "./base64.ts";
import { type BodyLimits, type HashedBytes, readBounded, readHashed } from "./body.ts";
import { parseOptions, parseWith, requireEnglish } from "./options.ts";
import { sniffImage } from "./sniff.ts";

export interface IdentifiedPicture {
  readonly sha256: string;
  readonly picture: Picture;
}

export interface PictureRequest extends IdentifiedPicture {
  readonly options: CaptionOptions;
}

/** Fetches the picture behind an address. */
export type FetchPicture = (url: string) => Promise<HashedBytes>;

export interface IntakeParts {
  readonly fetchPicture: FetchPicture;
  /** The longest the request's body may take to arrive. */
  readonly uploadTimeoutMs: number;
}

/**
 * Reads the picture and the options of a request.
 * @throws {FailureError} that says what is wrong with either.
 */
export async function readPictureRequest(
  request: Request,
  query: Readonly<Record<string, string>>,
  parts: IntakeParts,
): Promise<PictureRequest> {
  const { uploadTimeoutMs: timeoutMs } = parts;
  switch (mediaType(request)) {
    case "application/json":
      return fromJson(request, query, parts);
    case "multipart/form-data":
      return fromForm(request, query, parts);
    default: {
      // What the client calls the bytes is not asked; curl calls everything a form.
      const options = parseOptions(query);
      return { ...toPicture(await readHashed(request, { maxBytes: MAX_IMAGE_BYTES, timeoutMs })), options };
    }
  }
}

/** A picture out of base64 text or a data URL. @throws {FailureError} */
export async function pictureFromBase64(text: string): Promise<IdentifiedPicture> {
  const bytes = decodeBase64(text, MAX_IMAGE_BYTES);
  return toPicture({ bytes, sha256: await contentHash(bytes) });
}

/** Bytes that are a picture. @throws {FailureError} where they are none that can be captioned. */
export function toPicture({ bytes, sha256 }: HashedBytes): IdentifiedPicture {
  return { sha256, picture: { bytes, type: sniffImage(bytes) } };
}

/** Media type of a message, without its parameters, in lower case. */
export function mediaType(message: { readonly headers: Headers }): string {
  return (message.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** The JSON of a bounded body. @throws {FailureError} `bad-request` where it is none. */
export async function readJson(request: Request, limits: BodyLimits): Promise<unknown> {
  const bytes = await readBounded(request, limits);
  if (bytes.length === 0) throw new FailureError({ code: "empty-body", detail: "Send a JSON object." });
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch {
    throw new FailureError({ code: "bad-request", detail: "The body is not JSON in UTF-8." });
  }
}

async function fromJson(
  request: Request,
  query: Readonly<Record<string, string>>,
  { fetchPicture, uploadTimeoutMs: timeoutMs }: IntakeParts,
): Promise<PictureRequest> {
  const json = await readJson(request, { maxBytes: MAX_JSON_BYTES, timeoutMs });
  const body = parseWith(CaptionJsonRequest, json, "bad-request");
  const { url, image = "", ...beside } = body;
  const options = { ...parseOptions(query), ...requireEnglish(beside) };
  const picture = url === undefined ? await pictureFromBase64(image) : toPicture(await fetchPicture(url));
  return { ...picture, options };
}

async function fromForm(
  request: Request,
  query: Readonly<Record<string, string>>,
  { uploadTimeoutMs: timeoutMs }: IntakeParts,
): Promise<PictureRequest> {
  const body = await readBounded(request, { maxBytes: MAX_FORM_BYTES, timeoutMs });
  const headers = { "content-type": request.headers.get("content-type") ?? "" };
  let form: FormData;
  try {
    form = await new Response(body, { headers }).formData();
  } catch {
    throw new FailureError({ code: "bad-request", detail: "The form is not well formed." });
  }
  const image = form.get("image");
  if (!(image instanceof File)) {
    throw new FailureError({ code: "empty-body", detail: 'The form has no file in its field "image".' });
  }
  if (image.size > MAX_IMAGE_BYTES) {
    throw new FailureError({
      code: "image-too-large",
      detail: `At most ${MAX_IMAGE_BYTES / 1024 / 1024} MiB are accepted.`,
    });
  }
  form.delete("image");
  const options = { ...parseOptions(query), ...parseOptions(Object.fromEntries(form.entries())) };
  const bytes = new Uint8Array(await image.arrayBuffer());
  return { ...toPicture({ bytes, sha256: await contentHash(bytes) }), options };
}
