/**
 * Captions the pictures of a folder through a running API into a CSV file: by hash first, four at a time. Each row is
 * written as soon as it is known, so that stopping at any moment loses nothing, and the next run continues from the file.
 */

import { appendFile, open, readFile } from "node:fs/promises";
import pMap from "p-map";
import { CaptionApiError, type CaptionQuery, CaptionTransportError } from "../client/index.ts";
import { contentHash } from "../shared/content-hash.ts";
import { csvHead, csvRows, readCsvTable, toCsvTable } from "../shared/csv.ts";
import { replaceFile } from "../site/replace-file.ts";
import type { Api } from "./captioners.ts";
import { CommandError } from "./command-line.ts";
import { naming, systemErrorWords } from "./error-text.ts";
import type { PictureFile } from "./picture-files.ts";

const COLUMNS = ["file", "status", "alt", "caption", "score", "needs_review", "sha256", "problem"] as const;
const AT_ONCE = 4;
const FAILED = "failed";

export interface LibraryCounts {
  readonly captioned: number;
  readonly cached: number;
  readonly failed: number;
  /** Rows of an earlier run. */
  readonly kept: number;
  /** Includes rows of earlier runs, because whoever reviews the table sees all of them. */
  readonly needsReview: number;
}

type TableRow = Readonly<Record<string, string>>;

export interface LibraryOptions {
  readonly files: readonly PictureFile[];
  readonly api: Api;
  readonly options: CaptionQuery;
  /** The file that the rows go to, and that holds those of an earlier run. */
  readonly csv: string;
  readonly onProgress: (done: number, total: number) => void;
  readonly onFailure: (name: string, reason: string) => void;
}

/**
 * Captions the pictures that the file does not have yet. Those that failed before or whose bytes have changed are tried
 * again.
 * @throws CommandError if the file is another kind of CSV, or if no further picture can be captioned
 */
export async function captionLibrary(library: LibraryOptions): Promise<LibraryCounts> {
  const { files, csv, onProgress } = library;
  const known = await openTable(csv);
  const isNew = await pMap(files, (file) => differs(file, known), { concurrency: AT_ONCE });
  const todo = files.filter((_, i) => isNew[i]);
  const kept = files.filter((_, i) => !isNew[i]);
  const needsReview = kept.filter(({ name }) => isTrue(known.get(name)?.needs_review)).length;
  const counts = { captioned: 0, cached: 0, failed: 0, kept: kept.length, needsReview };
  let done = 0;
  // One write after the other, so that rows stay whole.
  let written = Promise.resolve();
  const write = (row: object) => {
    written = written.then(() => appendFile(csv, csvRows(COLUMNS, [row])));
    return written;
  };
  onProgress(0, todo.length);
  await pMap(
    todo,
    async (file) => {
      const row = await rowOf(file, library);
      await write(row);
      done += 1;
      if (row.status === FAILED) counts.failed += 1;
      else counts[row.status === "cached" ? "cached" : "captioned"] += 1;
      if ("needs_review" in row && row.needs_review) counts.needsReview += 1;
      onProgress(done, todo.length);
    },
    { concurrency: AT_ONCE },
  ).finally(() => {
    // Queued like the rows, because others may still be written after a picture has ended the run.
    written = written.then(async () => void (await leaveLastRows(csv)));
    return written;
  });
  return counts;
}

/** Whether the table lacks a picture, or has it with other bytes. A picture that cannot be read now stays as it was. */
async function differs({ name, path = "" }: PictureFile, known: ReadonlyMap<string, TableRow>) {
  const sha256 = known.get(name)?.sha256;
  if (sha256 === undefined) return true;
  const now = await readFile(path).then(
    (bytes) => contentHash(new Uint8Array(bytes)),
    () => sha256,
  );
  return now !== sha256;
}

async function rowOf({ name, path = "" }: PictureFile, { api, options, onFailure }: LibraryOptions) {
  try {
    const { cached, ...caption } = await api.client.caption(new Uint8Array(await readFile(path)), options);
    return { file: name, status: cached ? "cached" : "generated", ...caption };
  } catch (error) {
    const end = api.whyNoOther(error);
    if (end !== undefined) {
      throw new CommandError(`${end} What is done is in the file; run the same command again to go on.`);
    }
    const problem = error instanceof CaptionApiError ? error.problem.code : reasonOf(error);
    onFailure(name, error instanceof CaptionApiError ? error.message : problem);
    return { file: name, status: FAILED, problem };
  }
}

function reasonOf(error: unknown): string {
  const words = error instanceof CaptionTransportError ? error.message : systemErrorWords(error);
  if (words === undefined) throw error;
  return words;
}

/** Spreadsheets write it in capitals. */
const isTrue = (cell = "") => cell.toLowerCase() === "true";

/** The rows with a caption, by file. A new table gets its head; a row that broke off is cut. */
async function openTable(path: string): Promise<ReadonlyMap<string, TableRow>> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    return naming(path)(error);
  });
  const head = csvHead(COLUMNS);
  if (text === "") {
    await appendFile(path, head);
    return new Map();
  }
  if (text.startsWith(head)) {
    const whole = text.slice(0, text.lastIndexOf("\r\n") + 2);
    if (whole.length < text.length) {
      const file = await open(path, "r+");
      await file.truncate(Buffer.byteLength(whole)).finally(() => file.close());
    }
  } else await replaceFile(path, asWritten(path, text));
  const rows = await leaveLastRows(path);
  return new Map(
    rows.flatMap((row): [string, TableRow][] => (row.status === FAILED ? [] : [[row.file ?? "", row]])),
  );
}

/** A table that a spreadsheet has saved without our mark, line ends or quotes. @throws CommandError for any other file */
function asWritten(path: string, text: string): string {
  const rows = readCsvTable(text);
  if (Object.keys(rows[0] ?? {}).join() === COLUMNS.join()) return toCsvTable(COLUMNS, rows);
  throw new CommandError(
    `${path} is not a table that this command wrote; name another file, or move this one away.`,
  );
}

/** Keeps for each file only the row that was written last, in the place of its first. */
async function leaveLastRows(path: string): Promise<Record<string, string>[]> {
  const rows = readCsvTable(await readFile(path, "utf8"));
  const last = [...new Map(rows.map((row) => [row.file, row])).values()];
  if (last.length < rows.length) await replaceFile(path, toCsvTable(COLUMNS, last));
  return last;
}
