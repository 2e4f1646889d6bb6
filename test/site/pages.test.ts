import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readPage, writePage } from "../../site/pages.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

test("a page that somebody has changed since it was read keeps their change", async () => {
  const folder = await temporaryFolder();
  const file = join(folder, "index.html");
  await writeFile(file, "<img src=a.jpg>");
  const page = await readPage(folder, "index.html");
  await writeFile(file, "<p>Theirs</p>");
  expect(await writePage(folder, page, '<img alt="A cat" src=a.jpg>')).toBe(false);
  expect(await readFile(file, "utf8")).toBe("<p>Theirs</p>");
});

test("a byte order mark is a part of the page", async () => {
  const folder = await temporaryFolder();
  const text = "\uFEFF<img src=a.jpg>";
  await writeFile(join(folder, "index.html"), text);
  const page = await readPage(folder, "index.html");
  expect(page).toMatchObject({ text, gaps: [{ source: "a.jpg", at: 5 }] });
  expect(await writePage(folder, page, `${text}\n`)).toBe(true);
  expect(await readFile(join(folder, "index.html"), "utf8")).toBe(`${text}\n`);
});
