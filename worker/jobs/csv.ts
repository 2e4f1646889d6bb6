/** Results as CSV (RFC 4180) for spreadsheets: text stays text, whatever it begins with. */

import Papa from "papaparse";
import type { JobLine } from "../../shared/jobs.ts";

const COLUMNS = [
  "index",
  "id",
  "status",
  "alt",
  "caption",
  "score",
  "needs_review",
  "sha256",
  "problem",
  "detail",
  "metadata",
] as const;

/** A byte order mark, without which Excel takes UTF-8 for something else, and the names of the columns. */
export const CSV_HEAD = `\uFEFF${COLUMNS.join(",")}\r\n`;

/** The rows of some lines, each with its line end. */
export function toCsv(lines: readonly JobLine[]): string {
  if (lines.length === 0) return "";
  const rows = lines.map((line) => {
    const { index, id = "", status, metadata } = line;
    const own = { index, id, status, metadata: metadata === undefined ? "" : JSON.stringify(metadata) };
    if (line.status === "error") return { ...own, problem: line.problem.code, detail: line.problem.detail };
    const { alt, caption, score, needs_review, sha256 } = line;
    return { ...own, alt, caption, score, needs_review, sha256 };
  });
  const body = Papa.unparse(rows, {
    columns: [...COLUMNS],
    header: false,
    escapeFormulae: true,
    newline: "\r\n",
  });
  return `${body}\r\n`;
}
