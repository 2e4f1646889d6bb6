/** Results as CSV. */

import { csvHead, csvRows } from "../../shared/csv.ts";
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

/** The names of the columns. */
export const CSV_HEAD = csvHead(COLUMNS);

/** The rows of some lines, each with its line end. */
export function toCsv(lines: readonly JobLine[]): string {
  const rows = lines.map((line) => {
    const { index, id = "", status, metadata } = line;
    const own = { index, id, status, metadata: metadata === undefined ? "" : JSON.stringify(metadata) };
    if (line.status === "error") return { ...own, problem: line.problem.code, detail: line.problem.detail };
    const { alt, caption, score, needs_review, sha256 } = line;
    return { ...own, alt, caption, score, needs_review, sha256 };
  });
  return csvRows(COLUMNS, rows);
}
