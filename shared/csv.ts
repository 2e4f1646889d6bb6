/** CSV (RFC 4180) for spreadsheets and back: text stays text there, whatever it begins with. */

import Papa from "papaparse";

/** A byte order mark, without which Excel takes UTF-8 for something else. */
const BYTE_ORDER_MARK = "\uFEFF";
const LINE_END = "\r\n";
/**
 * What a spreadsheet would take for a formula: written behind an apostrophe, or one more where it has some already. OWASP, CSV
 * Injection, with the wide signs that spreadsheets of East Asia read alike. Papa's own pattern passes over a formula with a
 * line end in it.
 */
const FORMULA = /^'*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/;
const withoutEscape = (text: string) => (text.startsWith("'") && FORMULA.test(text) ? text.slice(1) : text);

/** The line with the names of the columns, with the mark that a file begins with. */
export function csvHead(columns: readonly string[]): string {
  return `${BYTE_ORDER_MARK}${columns.join(",")}${LINE_END}`;
}

/** The lines of some rows, each with its end; what a row does not have is empty. */
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

/** Rows of a file by the names of its columns, as they were before they were written. */
export function readCsvTable(text: string): Record<string, string>[] {
  const { data } = Papa.parse<Record<string, string>>(text.replace(/^\uFEFF/, ""), {
    header: true,
    skipEmptyLines: true,
  });
  return data.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, withoutEscape(String(value))])),
  );
}
