/** Which pictures a command line names: files, folders, and `-` for standard input. Reads names only. */

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, userPath } from "./command-line.ts";

const PICTURE = /\.(jpe?g|png|webp|avif|gif|tiff?)$/i;

export const STANDARD_INPUT = "-";

export interface PictureFile {
  /** As it was named, for what is printed. */
  readonly name: string;
  /** Where it lies; standard input has none. */
  readonly path: string | undefined;
}

/**
 * The pictures that `given` names; of a folder those within it by their names' endings, in order, hidden ones left out.
 * A file that is not there is found out when it is read. @throws CommandError for a folder without pictures
 */
export async function pictureFiles(given: readonly string[]): Promise<PictureFile[]> {
  const files = await Promise.all(given.map(expand));
  return files.flat();
}

async function expand(name: string): Promise<PictureFile[]> {
  if (name === STANDARD_INPUT) return [{ name, path: undefined }];
  const path = userPath(name);
  const isFolder = await stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (!isFolder) return [{ name, path }];
  const found = (await readdir(path, { recursive: true }))
    .filter((file) => PICTURE.test(file) && !/(^|[/\\])\./.test(file))
    .sort();
  if (found.length === 0)
    throw new CommandError(`${name} holds no pictures (JPEG, PNG, WebP, AVIF, GIF, TIFF).`);
  return found.map((file) => ({ name: join(name, file), path: join(path, file) }));
}
