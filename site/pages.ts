/** Reads and writes the pages of a site. A page that is not UTF-8 is left alone: its other bytes could not be kept. */

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { type Gap, PageError } from "./gap.ts";
import { gapsInHtml, gapsInXhtml } from "./html.ts";
import { gapsInMarkdown } from "./markdown.ts";
import { gapsInMdx } from "./mdx.ts";
import { replaceFile } from "./replace-file.ts";

const KINDS: Readonly<Record<string, (text: string) => Gap[]>> = {
  ".html": gapsInHtml,
  ".htm": gapsInHtml,
  ".xhtml": gapsInXhtml,
  ".md": gapsInMarkdown,
  ".markdown": gapsInMarkdown,
  ".mdx": gapsInMdx,
};
const NOT_ENTERED: ReadonlySet<string> = new Set(["node_modules", ".git"]);

export interface Page {
  /** Path from the site's folder. */
  readonly name: string;
  readonly text: string;
  readonly gaps: readonly Gap[];
}

/**
 * Names of the pages under `folder`, sorted. Links are not followed; subfolders that cannot be read are reported to
 * `onUnreadable`.
 */
export async function pageNames(
  folder: string,
  onUnreadable: (name: string, error: unknown) => void,
): Promise<string[]> {
  const found: string[] = [];
  const look = async (inside: string) => {
    const entries = await readdir(path.join(folder, inside), { withFileTypes: true }).catch((error) => {
      if (inside === "") throw error;
      onUnreadable(inside, error);
      return [];
    });
    for (const entry of entries) {
      const name = path.join(inside, entry.name);
      if (entry.isDirectory() && !NOT_ENTERED.has(entry.name)) await look(name);
      if (entry.isFile() && path.extname(entry.name).toLowerCase() in KINDS) found.push(name);
    }
  };
  await look("");
  return found.sort();
}

/** @throws PageError */
export async function readPage(folder: string, name: string): Promise<Page> {
  let text: string;
  try {
    // A byte order mark is a byte like any other here.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      await readFile(path.join(folder, name)),
    );
  } catch (error) {
    if (error instanceof TypeError) throw new PageError("The page is not UTF-8.", { cause: error });
    throw error;
  }
  return { name, text, gaps: KINDS[path.extname(name).toLowerCase()]?.(text) ?? [] };
}

/** Replaces the page by `text` in one step and keeps its mode; false if somebody has changed the page since it was read. */
export async function writePage(folder: string, page: Page, text: string): Promise<boolean> {
  const file = path.join(folder, page.name);
  if ((await readFile(file, "utf8")) !== page.text) return false;
  await replaceFile(file, text);
  return true;
}
