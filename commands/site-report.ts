/** The report of `npm run -s site` for editors: one row per picture, in CSV. */

import { writeFileSync } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import { csvHead, readCsvTable, toCsvTable } from "../shared/csv.ts";
import { describeSystemError } from "./error-text.ts";
import { printable } from "./terminal-text.ts";

const COLUMNS = ["page", "line", "picture", "alt", "score", "needs_review", "problem"] as const;
export type ReportRow = Partial<Record<(typeof COLUMNS)[number], string | number | boolean>>;

/**
 * Writes `rows` to the file when the process ends, also by an error or a signal, because a text that is already in a page
 * appears in no later report. With `keepsEarlier` the rows of earlier runs stay too. @throws the system's error if the file
 * cannot be written
 */
export async function reportAtTheEnd(
  path: string,
  { rows, keepsEarlier }: { readonly rows: readonly ReportRow[]; readonly keepsEarlier: boolean },
): Promise<void> {
  // Fails now if the report cannot be written, not after the pages have been written.
  await appendFile(path, "");
  const earlier = keepsEarlier ? await earlierRows(path) : [];
  process.once("exit", () => {
    const found = new Set(rows.map(placeOf));
    const kept = earlier.filter((row) => !found.has(placeOf(row)));
    try {
      writeFileSync(path, toCsvTable(COLUMNS, [...kept, ...rows]));
    } catch (error) {
      console.error(printable(describeSystemError(error) ?? error));
      process.exitCode = 1;
    }
  });
}

/** The rows of earlier runs; none if the file holds another table, which is then replaced. */
async function earlierRows(path: string): Promise<ReportRow[]> {
  const text = await readFile(path, "utf8");
  return text.startsWith(csvHead(COLUMNS)) ? readCsvTable(text) : [];
}

/** Identifies a row: a picture that failed before, or was only shown, is found again in the same place. */
const placeOf = ({ page, line, picture }: ReportRow) =>
  JSON.stringify([page, String(line ?? ""), picture ?? ""]);
