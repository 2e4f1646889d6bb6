/** The bytes behind a picture's address: a file of the site, or an address of the web. Leaves the site's folder by no way. */

import { readFile, realpath } from "node:fs/promises";
import path from "node:path";
import { MAX_IMAGE_BYTES } from "../shared/limits.ts";

const FETCH_WITHIN_MS = 15_000;

/** A picture that cannot be had; the message says why. */
export class PictureError extends Error {
  override readonly name = "PictureError";
}

export type Source =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "address"; readonly url: string };

/** Where the picture of a page is. @throws PictureError */
export function sourceOf(folder: string, page: string, source: string): Source {
  if (/^(https?:)?\/\//i.test(source)) {
    const url = source.startsWith("//") ? `https:${source}` : source;
    if (!URL.canParse(url)) throw new PictureError("The address is not well formed.");
    return { kind: "address", url };
  }
  if (/^[a-z][a-z\d+.-]*:/i.test(source)) throw new PictureError("Only files and http addresses are read.");
  let name: string;
  try {
    name = decodeURIComponent(source.replace(/[?#].*$/s, ""));
  } catch {
    throw new PictureError("The address is not well formed.");
  }
  const file = name.startsWith("/")
    ? path.join(folder, name)
    : path.resolve(folder, path.dirname(page), name);
  if (!isInside(folder, file)) throw new PictureError("The file is outside of the site's folder.");
  return { kind: "file", path: file };
}

const isInside = (folder: string, file: string) => file.startsWith(path.resolve(folder) + path.sep);

/** @throws PictureError */
export async function readSiteFile(folder: string, file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    // A link may lead anywhere.
    if (!isInside(await realpath(folder), await realpath(file))) {
      throw new PictureError("The file is outside of the site's folder.");
    }
    return new Uint8Array(await readFile(file));
  } catch (error) {
    if (error instanceof PictureError) throw error;
    throw new PictureError("The file is not there.", { cause: error });
  }
}

/** @throws PictureError */
export async function fetchPicture(url: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_WITHIN_MS) });
    if (!response.ok) throw new PictureError(`The address answered with status ${response.status}.`);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of response.body ?? []) {
      bytes += part.length;
      if (bytes > MAX_IMAGE_BYTES) throw new PictureError("The picture has too many bytes.");
      parts.push(part);
    }
    return new Uint8Array(Buffer.concat(parts));
  } catch (error) {
    if (error instanceof PictureError) throw error;
    throw new PictureError("The address did not answer.", { cause: error });
  }
}
