/** Puts a text in a file's place. */

import { rename, rm, stat, writeFile } from "node:fs/promises";

/** At once and with the file's mode: whoever reads finds the old text or the new one, and an error leaves the old. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const { mode } = await stat(path);
  const next = `${path}.${process.pid}.new`;
  try {
    await writeFile(next, text, { mode });
    await rename(next, path);
  } finally {
    // On a full disk a part would stay, in a folder that may be published.
    await rm(next, { force: true });
  }
}
