/** Replaces a file by a text. */

import { chmod, realpath, rename, rm, stat, writeFile } from "node:fs/promises";

/**
 * Replaces it in one step and keeps the file's mode: a reader finds either the old text or the new one, and an error leaves
 * the old one. If `path` is a link, the file it leads to is replaced.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const file = await realpath(path);
  const { mode } = await stat(file);
  const next = `${file}.${process.pid}.new`;
  try {
    await writeFile(next, text, { mode });
    // The umask takes away what a group may do from the mode that a file is created with.
    await chmod(next, mode);
    await rename(next, file);
  } finally {
    // On a full disk a partial file would stay, in a folder that may be published.
    await rm(next, { force: true });
  }
}
