import { expect, test } from "vitest";
import { readCsvTable, toCsvTable } from "../../shared/csv.ts";

test("text that a spreadsheet would take for a formula is kept as text, and comes back as it was", () => {
  const rows = ["=1+1", "+49", "-x", "@a", "plain", 'a "quote", and\na line', "'=kept", ""].map((text) => ({
    name: text,
    n: "1",
  }));
  const table = toCsvTable(["name", "n"], rows);
  expect(table.startsWith("\uFEFFname,n\r\n")).toBe(true);
  expect(table).toContain("'=1+1");
  expect(table).not.toMatch(/^[=+@-]/m);
  expect(readCsvTable(table).map(({ name }) => name)).toEqual(rows.map(({ name }) => name));
});

test("a formula with a line end in it is kept as text, too", () => {
  const texts = ['=HYPERLINK("https://a.example")\nx', "+1\r\nx", "@a\n", "\t=1\n", "-1\u2028x", "\n=1"];
  const table = toCsvTable(
    ["name"],
    texts.map((name) => ({ name })),
  );
  expect(table.match(/^"'/gm)).toHaveLength(texts.length);
  expect(readCsvTable(table).map(({ name }) => name)).toEqual(texts);
});

test("so is a formula with the wide signs of East Asia", () => {
  const texts = ["\uFF1D1+1", "\uFF0B1", "\uFF0D1", "\uFF20SUM(1)"];
  const rows = texts.map((name) => ({ name }));
  const table = toCsvTable(["name"], rows);
  expect(table).toBe(`\uFEFFname\r\n${texts.map((text) => `"'${text}"\r\n`).join("")}`);
  expect(readCsvTable(table)).toEqual(rows);
});

test("a table without rows has only its head", () => {
  expect(toCsvTable(["a", "b"], [])).toBe("\uFEFFa,b\r\n");
  expect(readCsvTable("\uFEFFa,b\r\n")).toEqual([]);
});
