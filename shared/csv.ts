/** CSV (RFC 4180) for spreadsheets and back: text stays text there, whatever it begins with. */

import Papa from "papaparse";

/** A byte order mark, because Excel takes UTF-8 without one for something else. */
const BYTE_ORDER_MARK = "\uFEFF";
const LINE_END = "\r\n";
/**
 * Text that a spreadsheet would take for a formula (OWASP, CSV Injection), including the wide signs that East Asian
 * spreadsheets read alike. It is written with an apostrophe in front, or one more if it already has some. Papa's own
 * pattern misses a formula with a line end in it.
 */
const FORMULA = /^'*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/;
const withoutEscape = (text: string) => (text.startsWith("'") && FORMULA.test(text) ? text.slice(1) : text);

/** The line of column names, with the byte order mark that begins a file. */
export function csvHead(columns: readonly string[]): string {
  return `${BYTE_ORDER_MARK}${columns.join(",")}${LINE_END}`;
}

/** The lines of some rows, each with its line end; a field that a row lacks is empty. */
export function csvRows(columns: readonly string[], rows: readonly object[]): string {
  if (rows.length === 0) return "";
  const text = Papa.unparse([...rows], {
    columns: [...columns],
    header: false,
    escapeFormulae: FORMULA,
    newline: LINE_END,
  });
  return `${text}${LINE_END}`;
}

/** A whole file. */
export function toCsvTable(columns: readonly string[], rows: readonly object[]): string {
  return csvHead(columns) + csvRows(columns, rows);
}

/** Rows of a file, keyed by column name, as they were before they were written. */
export function readCsvTable(text: string): Record<string, string>[] {
  const { data } = Papa.parse<Record<string, string>>(text.replace(/^\uFEFF/, ""), {
    header: true,
    skipEmptyLines: true,
  });
  return data.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, withoutEscape(String(value))])),
  );
}
