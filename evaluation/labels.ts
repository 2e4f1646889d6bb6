/** Reads a labelled set: pictures and what people said about them, one JSON object per line. */

import { readFile } from "node:fs/promises";
import { isAbsolute, normalize } from "node:path";
import * as z from "zod";
import { fieldExpectation } from "../shared/expectation.ts";
import { decodeUtf8 } from "../shared/utf8.ts";
import { words } from "./scores/ngrams.ts";

export const LabelledImage = z.object({
  image: z.string().min(1).refine(staysInside, "expected the name of a file inside the folder of pictures"),
  split: z.string().optional(),
  captions: z
    .array(z.string().refine(hasWords, "expected English words: a caption without any scores 0"))
    .min(1),
});
export type LabelledImage = z.infer<typeof LabelledImage>;

function hasWords(caption: string): boolean {
  return words(caption).length > 0;
}

/**
 * Whether a name stays inside the folder of pictures. A label file may come from anybody, and the pictures it names are
 * read, sent and put into a report.
 */
function staysInside(name: string): boolean {
  return !isAbsolute(name) && !name.includes("\0") && !name.split(/[/\\]/).includes("..");
}

/** The label file cannot be used; the message names the file, the line, and what is wrong there. */
export class LabelError extends Error {
  override readonly name = "LabelError";
}

/**
 * The pictures of `split`, or all of them. Each appears once: lines that name the same picture, such as one for each of its
 * captions, are merged. A byte order mark and blank lines are skipped.
 * @throws LabelError, or the system's error if the file cannot be read
 */
export async function readLabels(path: string, split?: string): Promise<LabelledImage[]> {
  const text = decodeUtf8(await readFile(path));
  if (text === undefined) {
    throw new LabelError(`${path} is not in UTF-8: save it as UTF-8, or its words would be misread.`);
  }
  const rows = text
    .split("\n")
    .flatMap((line, i) => (line.trim() === "" ? [] : [readLine(line, path, i + 1)]));
  const wanted = split === undefined ? rows : rows.filter((row) => row.split === split);
  if (wanted.length > 0) return eachOnce(wanted);
  const splits = [...new Set(rows.flatMap((row) => row.split ?? []))].join(", ");
  throw new LabelError(
    split === undefined
      ? `${path} lists no picture.`
      : `${path} has no picture of the split '${split}'; its splits are: ${splits || "none"}.`,
  );
}

function eachOnce(rows: readonly LabelledImage[]): LabelledImage[] {
  const byName = new Map<string, LabelledImage>();
  for (const row of rows) {
    const name = normalize(row.image);
    const known = byName.get(name);
    if (known === undefined) byName.set(name, row);
    // A caption that two people wrote alike stays twice, as it does within one line and in other tools: CIDEr-D is a mean
    // over all captions.
    else byName.set(name, { ...known, captions: [...known.captions, ...row.captions] });
  }
  return [...byName.values()];
}

function readLine(line: string, path: string, number: number): LabelledImage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new LabelError(
      `${path}, line ${number} is not JSON: ${cause instanceof Error ? cause.message : cause}.`,
      { cause },
    );
  }
  const parsed = LabelledImage.safeParse(value);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map((issue) => `\n  ${fieldExpectation(issue)}`).join("");
  throw new LabelError(`${path}, line ${number} is not a labelled picture.${wrong}`);
}
