/**
 * Gets the bytes of a document's picture: from the request, a storage adapter or the disk, and from its address
 * only if the storage offers no other way.
 */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { CollectionSlug, PayloadRequest } from "payload";
import * as z from "zod";
import { CAPTIONED_MIME_TYPES, JOB_TIMEOUT_MS, MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS } from "./limits.ts";
import { FIELD } from "./names.ts";
import { type Document, valueAt } from "./paths.ts";

const FileFields = z.object({
  filename: z.string().nullish(),
  mimeType: z.string().nullish(),
  filesize: z.number().nullish(),
  width: z.number().nullish(),
  height: z.number().nullish(),
  url: z.string().nullish(),
});
type FileFields = z.infer<typeof FileFields>;

const UploadFields = FileFields.extend({
  prefix: z.string().nullish(),
  sizes: z.record(z.string(), FileFields.nullish()).nullish(),
});

/** Whether a file is a picture that gets a text; SVG, videos and documents are silently ignored. */
export function isPicture(mimeType: unknown): boolean {
  return typeof mimeType === "string" && mimeType.startsWith("image/") && !mimeType.startsWith("image/svg");
}

const isReadByApi = ({ mimeType, filesize, width, height }: FileFields) =>
  CAPTIONED_MIME_TYPES.has(mimeType ?? "") &&
  (filesize ?? 0) <= MAX_PICTURE_BYTES &&
  (width ?? 0) * (height ?? 0) <= MAX_PICTURE_PIXELS;

/** The site's own variants that the API can read, with their names, the largest first. */
function variantsOf(document: Document): readonly (readonly [string, FileFields])[] {
  const { sizes } = UploadFields.parse(document);
  return Object.entries(sizes ?? {})
    .flatMap(([name, size]) => (size?.filename && isReadByApi(size) ? [[name, size] as const] : []))
    .sort(([, a], [, b]) => (b.width ?? 0) - (a.width ?? 0));
}

/** The uploaded file as Payload has converted it; undefined if the request brings none. */
export async function uploadedBytes(req: PayloadRequest): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (req.file === undefined) return undefined;
  const { tempFilePath, data } = req.file;
  const bytes = tempFilePath ? await readFile(tempFilePath) : data;
  return bytes.length === 0 ? undefined : new Uint8Array(bytes);
}

/** The describable pictures of an upload in progress: the file, if the API can read it, and the largest variant. */
export async function uploadedPictures(
  req: PayloadRequest,
  document: Document,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<readonly Uint8Array<ArrayBuffer>[]> {
  const file = FileFields.parse(document);
  const [variant] = variantsOf(document).flatMap(([name]) => req.payloadUploadSizes?.[name] ?? []);
  return [
    ...(isReadByApi({ ...file, filesize: bytes.length }) ? [bytes] : []),
    ...(variant === undefined ? [] : [new Uint8Array(variant)]),
  ];
}

interface StoredFile {
  readonly filename: string;
  readonly url?: string | null | undefined;
}

/** The stored files of a document that the API can read: its file, then the largest variant. */
function filesOf(document: Document): readonly StoredFile[] {
  const file = UploadFields.parse(document);
  const [variant] = variantsOf(document);
  return [...(isReadByApi(file) ? [file] : []), ...(variant === undefined ? [] : [variant[1]])].flatMap(
    ({ filename, url }) => (filename ? [{ filename, url }] : []),
  );
}

/** The describable pictures of a stored document. @throws Error if its file cannot be read */
export async function storedPictures(
  req: PayloadRequest,
  collection: CollectionSlug,
  document: Document,
): Promise<readonly Uint8Array<ArrayBuffer>[]> {
  const pictures: Uint8Array<ArrayBuffer>[] = [];
  for (const file of filesOf(document)) {
    pictures.push(await storedBytes(req, collection, document, file));
  }
  return pictures;
}

/** Identifies a stored picture in a few bytes. */
export interface PictureReference {
  readonly sha256: string;
  /** Its address according to the site; undefined if that is not absolute. */
  readonly url: string | undefined;
}

/**
 * The picture that would be described first; undefined if the API can read none of the document's pictures.
 * @throws Error if its file cannot be read
 */
export async function storedReference(
  req: PayloadRequest,
  collection: CollectionSlug,
  document: Document,
): Promise<PictureReference | undefined> {
  const [file] = filesOf(document);
  if (file === undefined) return undefined;
  const bytes = await storedBytes(req, collection, document, file);
  return { sha256: sha256Of(bytes), url: wholeAddress(file.url) };
}

const wholeAddress = (url: string | null | undefined) =>
  url && /^https?:/i.test(url) && URL.canParse(url) ? url : undefined;

/** The hash by which the API identifies a picture. */
export const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Distinguishes a document's file from another one that replaces it. */
export function fileMark(document: unknown): string {
  return JSON.stringify(["filename", "filesize", FIELD.hash].map((name) => valueAt(document, name) ?? null));
}

/** The bytes of a stored file, found in the same way as by Payload's own file route. */
async function storedBytes(
  req: PayloadRequest,
  collection: CollectionSlug,
  document: Document,
  { filename, url }: StoredFile,
): Promise<Uint8Array<ArrayBuffer>> {
  const upload = req.payload.collections[collection]?.config.upload;
  if (upload === undefined) throw new Error(`There is no collection "${collection}".`);
  const prefix = UploadFields.parse(document).prefix ?? undefined;
  for (const handler of upload.handlers ?? []) {
    const response = await handler(req, {
      doc: document as never,
      headers: new Headers(),
      params: { collection, filename, ...(prefix === undefined ? {} : { prefix }) },
    });
    if (!(response instanceof Response)) continue;
    // A storage with signed downloads redirects to an address of its own.
    const location = response.headers.get("location");
    return location === null ? bytesOf(response) : fetchedBytes(location);
  }
  if (upload.disableLocalStorage) {
    // A storage with public files has no handler, and the document holds their addresses.
    const address = wholeAddress(url);
    if (address === undefined) throw new Error("The storage has neither a handler nor absolute addresses.");
    return fetchedBytes(address);
  }
  const folder = path.resolve(upload.staticDir ?? collection);
  const file = path.resolve(folder, filename);
  if (!file.startsWith(folder + path.sep)) throw new Error("The file's name leads out of its folder.");
  return new Uint8Array(await readFile(file));
}

async function fetchedBytes(address: string): Promise<Uint8Array<ArrayBuffer>> {
  return bytesOf(await fetch(address, { signal: AbortSignal.timeout(JOB_TIMEOUT_MS) }));
}

async function bytesOf(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  if (!response.ok) throw new Error(`The storage answered with status ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}
