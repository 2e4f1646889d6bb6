/** The bytes behind a picture's address: a file of the site, or an address of the web. Never leaves the site's folder. */

import { readdir, readFile, realpath, stat } from "node:fs/promises";
import path from "node:path";
import { MAX_IMAGE_BYTES } from "../shared/limits.ts";
import type { Gap } from "./gap.ts";
import { withoutSiteAddress } from "./template.ts";

const FETCH_WITHIN_MS = 15_000;

/** A picture that cannot be read; the message says why. */
export class PictureError extends Error {
  override readonly name = "PictureError";
}

export type Source =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "address"; readonly url: string };

/** Where the picture of a gap in a page is. @throws PictureError */
export function sourceOf(folder: string, page: string, gap: Pick<Gap, "source" | "base">): Source {
  const address = withoutSiteAddress(gap.source);
  if (address === undefined) throw new PictureError("Only the site's generator knows this address.");
  const source = resolved(readable(address), gap.base && readable(gap.base));
  if (isOnTheWeb(source)) return { kind: "address", url: webAddress(source) };
  if (hasScheme(source)) throw new PictureError("Only files and http addresses are read.");
  let name: string;
  try {
    name = decodeURIComponent(source.replace(/[?#].*$/s, ""));
  } catch {
    throw new PictureError("The address is not well formed.");
  }
  const file = name.startsWith("/")
    ? path.join(folder, name)
    : path.resolve(folder, path.dirname(page), name);
  if (!isInside(folder, file)) throw new PictureError("The file is outside the site's folder.");
  return { kind: "file", path: file };
}

const isOnTheWeb = (address: string) => /^(https?:)?\/\//i.test(address);
const hasScheme = (address: string) => /^[a-z][a-z\d+.-]*:/i.test(address);

/**
 * The address as browsers read it: without line ends and tabs, and with slashes for backslashes.
 * https://url.spec.whatwg.org/#url-parsing
 */
const readable = (address: string) => address.replaceAll(/[\t\n\r]/g, "").replaceAll("\\", "/");

/** The address that the page means. If its base is not a web address, the result is still a path. */
function resolved(source: string, base: string | undefined): string {
  if (!base || isOnTheWeb(source) || hasScheme(source)) return source;
  if (isOnTheWeb(base)) return new URL(source, webAddress(base)).href;
  if (hasScheme(base)) throw new PictureError("Only files and http addresses are read.");
  if (source.startsWith("/")) return source;
  const page = base.replace(/[?#].*$/s, "");
  return page.slice(0, page.lastIndexOf("/") + 1) + source;
}

/** The address with its scheme in lower case. */
function webAddress(address: string): string {
  const url = address.startsWith("//") ? `https:${address}` : address;
  if (!URL.canParse(url)) throw new PictureError("The address is not well formed.");
  return url.replace(/^[^:]*/, (scheme) => scheme.toLowerCase());
}

const isInside = (folder: string, file: string) => file.startsWith(path.resolve(folder) + path.sep);

/**
 * Says that a file is missing, or which name differs. Some file systems take different names for the same: those of Macs
 * and Windows ignore case, and those of Macs ignore how accents are written.
 */
async function missing(file: string): Promise<string> {
  const name = path.basename(file);
  const alike = (other: string) => other.normalize().toLowerCase() === name.normalize().toLowerCase();
  const near = (await readdir(path.dirname(file)).catch(() => [])).find(alike);
  if (near === undefined) return "The file is not there.";
  return near.normalize() === name.normalize()
    ? "The file is not there under this name: its accents are encoded differently (Unicode NFC and NFD), and web servers tell the two apart."
    : `The file is not there: it is called ${near}, and web servers tell the two apart.`;
}

/** @throws PictureError */
export async function readSiteFile(folder: string, file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    // A link may lead anywhere.
    if (!isInside(await realpath(folder), await realpath(file))) {
      throw new PictureError("The file is outside the site's folder.");
    }
    const found = await stat(file);
    // Opening a pipe blocks until somebody writes into it, and not even a signal ends a process that waits for this.
    if (!found.isFile()) throw new PictureError("It is not a file.");
    if (found.size > MAX_IMAGE_BYTES) throw new PictureError("The picture has too many bytes.");
    return new Uint8Array(await readFile(file));
  } catch (error) {
    if (error instanceof PictureError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const isMissing = code === "ENOENT" || code === "ENOTDIR";
    const why = isMissing ? await missing(file) : `The file cannot be read (${code}).`;
    throw new PictureError(why, { cause: error });
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
