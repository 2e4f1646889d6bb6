/** Puts a text in a file's place. */

import { chmod, realpath, rename, rm, stat, writeFile } from "node:fs/promises";

/**
 * At once and with the file's mode: whoever reads finds the old text or the new one, and an error leaves the old. Of a link, the
 * file that it leads to.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const file = await realpath(path);
  const { mode } = await stat(file);
  const next = `${file}.${process.pid}.new`;
  try {
    await writeFile(next, text, { mode });
    // Of the mode that a file is made with, the umask takes away what a group may do.
    await chmod(next, mode);
    await rename(next, file);
  } finally {
    // On a full disk a part would stay, in a folder that may be published.
    await rm(next, { force: true });
  }
}
