/** `POST /v1/captions` in all its forms: raw bytes, a form, JSON with base64 or an address. The result is one picture. */

import { contentHash } from "../../shared/content-hash.ts";
import { decodeBase64, imageTooLarge } from "../../shared/intake/base64.ts";
import {
  beginsLikeJson,
  isJsonType,
  mediaType,
  parseJsonBody,
  requireUncoded,
} from "../../shared/intake/body.ts";
import { givenFields } from "../../shared/intake/options.ts";
import { pictureFormat } from "../../shared/intake/picture.ts";
import { MAX_FORM_BYTES, MAX_IMAGE_BYTES, MAX_JSON_BYTES } from "../../shared/limits.ts";
import { recognizePicture, SUPPORTED_FORMATS } from "../../shared/picture-format.ts";
import { FailureError } from "../../shared/problem.ts";
import { CaptionJsonRequest, type CaptionOptions } from "../../shared/schema.ts";
import { decodeUtf8 } from "../../shared/utf8.ts";
import type { Picture } from "../picture.ts";
import { type BodyLimits, type HashedBytes, readBounded, readHashed } from "./body.ts";
import { boundaryOf, MAX_HEADER_BYTES, MAX_PARTS, multipartParts } from "./multipart.ts";
import { orThrow, parseOptions, parseWith, type Query, requireEnglish } from "./options.ts";

export interface IdentifiedPicture {
  readonly sha256: string;
  readonly picture: Picture;
}

export interface PictureRequest extends IdentifiedPicture {
  readonly options: CaptionOptions;
}

/** Fetches the picture behind an address; `hold` makes room for its bytes before they arrive. */
export type FetchPicture = (url: string, hold?: (bytes: number) => Promise<void>) => Promise<HashedBytes>;

export interface IntakeParts {
  readonly fetchPicture: FetchPicture;
  /** The longest the request's body may take to arrive. */
  readonly uploadTimeoutMs: number;
}

/** A form's fields that may hold the picture, as upload widgets and other services call them. */
const FILE_FIELDS = ["image", "file", "data"] as const;
/** How a form begins, whatever its fields are called, so that its sender is told which field holds the picture. */
const BEGIN_OF_FORM = /^[\w-]{1,40}=/;

/**
 * Reads the picture and the options of a request; options of the body override those of the query.
 * @throws {FailureError} that says what is wrong with either.
 */
export async function readPictureRequest(
  request: Request,
  query: Query,
  parts: IntakeParts,
): Promise<PictureRequest> {
  orThrow(requireUncoded(request));
  const type = mediaType(request);
  const timeoutMs = parts.uploadTimeoutMs;
  if (isJsonType(type)) {
    const body = await readBounded(request, { maxBytes: MAX_JSON_BYTES, timeoutMs });
    // Clients generated for Go call a picture JSON too, if JSON is among the accepted types.
    if (recognizePicture(body) !== undefined) return fromFields({ file: body, texts: {} }, query, parts);
    return fromJson(body, query, parts);
  }
  if (type === "multipart/form-data") {
    const body = await readBounded(request, { maxBytes: MAX_FORM_BYTES, timeoutMs });
    return fromFields(multipartFields(body, request), query, parts);
  }
  const body = await readHashed(request, { maxBytes: MAX_IMAGE_BYTES, timeoutMs });
  // curl calls everything a form, pictures and JSON too, so the bytes decide.
  if (type === "application/x-www-form-urlencoded" && recognizePicture(body.bytes) === undefined) {
    if (beginsLikeJson(body.bytes)) return fromJson(body.bytes, query, parts);
    const fields = urlencodedFields(body.bytes);
    if (fields !== undefined) return fromFields(fields, query, parts);
  }
  return { ...toPicture(body), options: parseOptions(query) };
}

/** A picture out of base64 text or a data URL. @throws {FailureError} */
export async function pictureFromBase64(text: string): Promise<IdentifiedPicture> {
  const bytes = orThrow(decodeBase64(text));
  return toPicture({ bytes, sha256: await contentHash(bytes) });
}

/** The picture that the bytes are. @throws {FailureError} if it cannot be captioned. */
export function toPicture({ bytes, sha256 }: HashedBytes): IdentifiedPicture {
  return { sha256, picture: { bytes, type: SUPPORTED_FORMATS[orThrow(pictureFormat(bytes))] } };
}

/** The JSON of a bounded body. @throws {FailureError} `bad-request` if it is not JSON. */
export async function readJson(request: Request, limits: BodyLimits): Promise<unknown> {
  orThrow(requireUncoded(request));
  return orThrow(parseJsonBody(await readBounded(request, limits)));
}

async function fromJson(
  body: Uint8Array,
  query: Query,
  { fetchPicture }: IntakeParts,
): Promise<PictureRequest> {
  const json = parseWith(CaptionJsonRequest, orThrow(parseJsonBody(body)), "bad-request");
  const { url, image = "", ...beside } = json;
  const options = { ...parseOptions(query), ...requireEnglish(beside) };
  const picture = url === undefined ? await pictureFromBase64(image) : toPicture(await fetchPicture(url));
  return { ...picture, options };
}

/** A form's fields: the picture as bytes if it was sent as a file, everything else as text. */
interface FormFields {
  readonly file: Uint8Array<ArrayBuffer> | undefined;
  readonly texts: Readonly<Record<string, string>>;
}

async function fromFields(
  { file, texts }: FormFields,
  query: Query,
  parts: IntakeParts,
): Promise<PictureRequest> {
  const { url, image, file: fileText, data, ...beside } = texts;
  const base64 = image ?? fileText ?? data;
  // Checked before the options, because a field that is not an option may have been meant as the picture.
  if (file === undefined && base64 === undefined && url === undefined) {
    throw new FailureError({
      code: "empty-body",
      detail: `The form has no picture: send a file in the field "${FILE_FIELDS[0]}", or an address in "url".`,
    });
  }
  const options = { ...parseOptions(query), ...parseOptions(beside) };
  if (file !== undefined) {
    if (file.length > MAX_IMAGE_BYTES) orThrow(imageTooLarge());
    return { ...toPicture({ bytes: file, sha256: await contentHash(file) }), options };
  }
  if (base64 !== undefined) return { ...(await pictureFromBase64(base64)), options };
  const { url: address = "" } = parseWith(CaptionJsonRequest, { url }, "bad-request");
  return { ...toPicture(await parts.fetchPicture(address)), options };
}

type Named<Value> = readonly [name: string, value: Value];

/** A form's fields, of which at most one may give the picture. @throws {FailureError} */
function formFields(
  files: readonly Named<Uint8Array<ArrayBuffer>>[],
  texts: readonly Named<string>[],
): FormFields {
  // An input that nobody used sends an empty file.
  const used = files.filter(([, { length }]) => length > 0);
  const written = texts.filter(([name, text]) => isPictureField(name) && text.trim() !== "");
  const pictures = [...used, ...written];
  if (pictures.length > 1) {
    const names = pictures.map(([name]) => name).join(", ");
    const detail = `Expected one picture, got ${pictures.length} (${names}); POST /v1/captions/batch takes several.`;
    throw new FailureError({ code: "bad-request", detail });
  }
  const [, file] = (pictures.length === 0 ? files[0] : used[0]) ?? [];
  return { file, texts: orThrow(givenFields(texts)) };
}

/** Fields of a multipart form. @throws {FailureError} */
function multipartFields(body: Uint8Array<ArrayBuffer>, request: Request): FormFields {
  const boundary = boundaryOf(request.headers.get("content-type") ?? "");
  if (boundary === undefined) {
    const detail =
      "The form's content-type names no boundary. Do not set that header yourself: the library that makes the form sets it, boundary included.";
    throw new FailureError({ code: "bad-request", detail });
  }
  const parts = multipartParts(body, boundary);
  if (parts === undefined) {
    const line = JSON.stringify(`--${boundary.slice(0, 70)}`);
    const detail = `The form is not well formed: expected up to ${MAX_PARTS} parts with headers of up to ${MAX_HEADER_BYTES / 1024} KiB, each after a line ${line}, and after the last part that line with "--" at its end.`;
    throw new FailureError({ code: "bad-request", detail });
  }
  const texts: Named<string>[] = [];
  const files: Named<Uint8Array<ArrayBuffer>>[] = [];
  for (const { name, isFile, bytes } of parts) {
    if (name === undefined) continue;
    if (isFile) requireFileField(name);
    // A program that sends a file's bytes as a field's value gives them no file name.
    if (isFile || (isFileField(name) && recognizePicture(bytes) !== undefined)) files.push([name, bytes]);
    else texts.push([name, fieldText(name, bytes)]);
  }
  return formFields(files, texts);
}

function isFileField(name: string): boolean {
  return FILE_FIELDS.some((field) => field === name);
}

function isPictureField(name: string): boolean {
  return name === "url" || isFileField(name);
}

/** @throws {FailureError} if it is not text */
function fieldText(name: string, bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text !== undefined) return text;
  throw new FailureError({
    code: isPictureField(name) ? "bad-request" : "bad-options",
    detail: `${name.slice(0, 40)}: expected text in UTF-8.`,
  });
}

/** @throws {FailureError} if an option was sent as a file, because it would be silently ignored */
function requireFileField(name: string): void {
  if (isFileField(name)) return;
  throw new FailureError({
    code: "bad-options",
    detail: `${name.slice(0, 40)}: expected text, got a file. The picture belongs in "${FILE_FIELDS[0]}".`,
  });
}

/** Fields of an urlencoded form; undefined if the bytes are not one. */
function urlencodedFields(bytes: Uint8Array): FormFields | undefined {
  const text = decodeUtf8(bytes);
  if (text === undefined) return undefined;
  if (text.split("&", MAX_PARTS + 1).length > MAX_PARTS) {
    if (!BEGIN_OF_FORM.test(text)) return undefined;
    throw new FailureError({ code: "bad-request", detail: `The form has more than ${MAX_PARTS} fields.` });
  }
  const fields = [...new URLSearchParams(text)].map(([name, value]): Named<string> => {
    // A plus sign is a letter of base64, and a space in a form. Base64 has no spaces, so a sender who did not escape it
    // meant the letter.
    return [name, isFileField(name) ? value.trim().replaceAll(" ", "+") : value];
  });
  const isForm = BEGIN_OF_FORM.test(text) || fields.some(([name]) => isPictureField(name));
  return isForm ? formFields([], fields) : undefined;
}
