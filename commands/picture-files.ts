/** Which pictures a command line names: files, folders, and `-` for standard input. Reads names only. */

import type { BigIntStats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { ACCEPTED_FORMATS, type PictureFormat } from "../shared/picture-format.ts";
import { CommandError, userPath } from "./command-line.ts";
import { systemErrorWords } from "./error-text.ts";

/** On Windows, browsers save some JPEGs as .jfif. */
const ENDINGS: Readonly<Record<PictureFormat, string>> = {
  JPEG: "jpe?g|jpe|jfif",
  PNG: "a?png",
  WebP: "webp",
  AVIF: "avif",
  GIF: "gif",
  TIFF: "tiff?",
};
const PICTURE = new RegExp(`\\.(${Object.values(ENDINGS).join("|")})$`, "i");

const STANDARD_INPUT = "-";

export interface PictureFile {
  /** The name as it was given, for output. */
  readonly name: string;
  /** Its path: in bytes if it was found in a folder, because not every name is UTF-8; undefined for standard input. */
  readonly path: string | Buffer | undefined;
}

/**
 * The pictures that `given` names. For a folder, those are the files in it with a picture's ending, in order, except hidden
 * ones. A missing file, or a subfolder that may not be read, is noticed only when it is read. @throws CommandError for a
 * folder without pictures
 */
export async function pictureFiles(given: readonly string[]): Promise<PictureFile[]> {
  const files = await Promise.all(given.map(expand));
  return files.flat();
}

interface FoundFile {
  /** Its path within the folder that was named. */
  readonly name: string;
  readonly path: Buffer;
}

async function expand(name: string): Promise<PictureFile[]> {
  if (name === STANDARD_INPUT) return [{ name, path: undefined }];
  const path = userPath(name);
  const entry = await statOf(path);
  if (!entry?.isDirectory()) return [{ name, path }];
  const found: FoundFile[] = [];
  // Links are followed, except one that leads back to a folder it lies in, which would never end.
  const look = async (folder: FoundFile, within: ReadonlySet<string>) => {
    for (const bytes of await namesIn(folder, found)) {
      const file = textOf(bytes);
      const there = {
        name: join(folder.name, file),
        path: Buffer.concat([folder.path, Buffer.from(sep), bytes]),
      };
      if (file.startsWith(".")) continue;
      const entry = await statOf(there.path);
      if (entry?.isDirectory()) {
        if (!within.has(idOf(entry))) await look(there, new Set([...within, idOf(entry)]));
      } else if (PICTURE.test(file) && (entry?.isFile() ?? true)) found.push(there);
    }
  };
  await look({ name: "", path: Buffer.from(path) }, new Set([idOf(entry)]));
  if (found.length === 0) throw new CommandError(`${name} holds no pictures (${ACCEPTED_FORMATS}).`);
  return found
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((file) => ({ ...file, name: join(name, file.name) }));
}

/** The names in a folder. A subfolder that may not be read counts as one file, so that its error is reported in its turn. */
async function namesIn(folder: FoundFile, found: FoundFile[]): Promise<Buffer[]> {
  try {
    return await readdir(folder.path, { encoding: "buffer" });
  } catch (error) {
    if (folder.name === "" || systemErrorWords(error) === undefined) throw error;
    found.push(folder);
    return [];
  }
}

/** A name for people. A name that is not UTF-8 is mostly Latin-1; read as that, different names stay different. */
function textOf(name: Buffer): string {
  const text = name.toString();
  return Buffer.from(text).equals(name) ? text : name.toString("latin1");
}

/** Undefined for a missing file, such as the target of a link that leads nowhere. */
const statOf = (path: string | Buffer) => stat(path, { bigint: true }).catch(() => undefined);

const idOf = ({ dev, ino }: BigIntStats) => `${dev}:${ino}`;
