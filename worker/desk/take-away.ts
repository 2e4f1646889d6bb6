/** What a person takes away: the accepted texts, in the format their work needs. No DOM. */

import { toCsvTable } from "../../shared/csv.ts";
import { isWebAddress } from "./address.ts";
import type { Row } from "./worklist.ts";

export const FORMATS = {
  csv: { label: "CSV, for a spreadsheet", file: "alt-text.csv", type: "text/csv" },
  json: { label: "JSON", file: "alt-text.json", type: "application/json" },
  html: { label: "HTML", file: "alt-text.html", type: "text/html" },
  markdown: { label: "Markdown", file: "alt-text.md", type: "text/markdown" },
} as const;
export type Format = keyof typeof FORMATS;

interface Taken {
  readonly name: string;
  readonly alt: string;
  readonly decision: "accepted" | "decorative";
  readonly edited: boolean;
  readonly sha256: string;
}

/** Line breaks come with pasted text. Elsewhere a text of several lines breaks rows and attributes. */
const LINE_BREAKS = /\s*[\n\r\u2028\u2029]\s*/g;

/** Accepted and decorative rows, each text on one line; one that nobody has reviewed never leaves the desk. */
export function taken(rows: readonly Row[]): Taken[] {
  return rows.flatMap(({ name, text, decision, original, sha256 = "" }) => {
    if (decision !== "accepted" && decision !== "decorative") return [];
    const alt = decision === "decorative" ? "" : text.trim().replace(LINE_BREAKS, " ");
    return [{ name, alt, decision, edited: decision === "accepted" && alt !== original, sha256 }];
  });
}

const COLUMNS = ["name", "alt", "decision", "edited", "sha256"];

/**
 * The accepted rows as one text: as a file, or for pasting, in which case the byte order mark of a CSV file would count as
 * a letter.
 */
export function takeAway(rows: readonly Row[], format: Format, { isFile = true } = {}): string {
  const all = taken(rows);
  switch (format) {
    case "csv":
      return isFile ? toCsvTable(COLUMNS, all) : toCsvTable(COLUMNS, all).replace(/^\uFEFF/, "");
    case "json":
      return `${JSON.stringify(all, null, 2)}\n`;
    case "html":
      return all.map((row) => `<img src="${escaped(sourceOf(row))}" alt="${escaped(row.alt)}">\n`).join("");
    case "markdown":
      return all.map((row) => `![${markdown(row.alt)}](<${markdownSource(row)}>)\n`).join("");
  }
}

/** The source for a row: an address as it is, a file's name as a relative address. */
function sourceOf({ name }: Taken): string {
  return isWebAddress(name) ? name : name.split("/").map(encodeURIComponent).join("/");
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll('"', "&quot;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}

/** Escapes characters that mean something in a link's text (CommonMark, section 2.4), and what would be read as an entity (2.5). */
function markdown(text: string): string {
  return text.replace(/[\\[\]*_`<>]|&(?=#?\w+;)/g, "\\$&").replace(/\s+/g, " ");
}

function markdownSource(row: Taken): string {
  return sourceOf(row)
    .replace(/[<>]/g, encodeURIComponent)
    .replace(/\\|&(?=#?\w+;)/g, "\\$&");
}
