import { expect, test } from "vitest";
import { printable, printableField, printableLines } from "../../commands/terminal-text.ts";

test("characters that a terminal would obey are written out", () => {
  expect(printable("a\u001b]0;title\u0007b\u009b2Jc\u202ed\r")).toBe(
    "a\\u001b]0;title\\u0007b\\u009b2Jc\\u202ed\\u000d",
  );
  expect(printable("two\tfields\nlines, ü and 漢")).toBe("two\tfields\nlines, ü and 漢");
});

test("JSON stays JSON", () => {
  const text = printable(JSON.stringify({ name: "\u009b2J" }));
  expect(text).toBe('{"name":"\\u009b2J"}');
  expect(JSON.parse(text)).toEqual({ name: "\u009b2J" });
});

test("a field stays one", () => {
  expect(printableField("a\tb\nc")).toBe("a\\tb\\nc");
});

test("lines of a file keep their ends, those of Windows too, and nothing else that moves a cursor", () => {
  expect(printableLines("-<p>\u001b[2J\r\n+a\rb\n")).toBe("-<p>\\u001b[2J\n+a\\u000db\n");
});
