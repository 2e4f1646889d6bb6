/** The report of an evaluation: what it says, and how it appears in a real browser. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { calibrate } from "../../evaluation/calibration.ts";
import type { Evaluation } from "../../evaluation/evaluate.ts";
import { renderReport } from "../../evaluation/report.ts";
import { CHROMIUM, launchBrowser } from "../../local/chromium.ts";
import { APPEARANCES, appearAs, axeViolations, sidewaysScroll } from "../e2e/browser-support.ts";
import { jpegPicture } from "../support/pictures.ts";

let folder: string;
let file: string;
let report: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "report-"));
  file = path.join(folder, "report.html");
  const pictures = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const picture = path.join(folder, `${i}.jpg`);
      await writeFile(picture, await jpegPicture(i));
      return {
        path: picture,
        caption: i === 0 ? '<img src="https://example.org/spy.png">' : `a dog ${i}`,
        score: i / 40,
        needs_review: i < 10,
        references: ["a dog runs", "a brown dog on grass"],
        cider: i / 30,
        rouge: i / 50,
      };
    }),
  );
  const evaluation: Evaluation = {
    pictures,
    failed: 2,
    images_per_second: 3,
    model: { id: "tiny/blip", revision: "r1" },
    scores: { "BLEU-1": 0.5, "BLEU-2": 0.4, "BLEU-3": 0.3, "BLEU-4": 0.2, "ROUGE-L": 0.4, "CIDEr-D": 0.6 },
    calibration: calibrate(pictures),
  };
  const parts = {
    dataSet: "flickr8k/captions.jsonl, dev",
    date: new Date("2026-11-25T10:00:00Z"),
    notice: "Scores < 1 flatter.",
  };
  report = await renderReport(evaluation, parts);
  await writeFile(file, report);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("says which model, data set, date, and which share is flagged", () => {
  expect(report).toContain("<dt>Data set</dt><dd>flickr8k/captions.jsonl, dev</dd>");
  expect(report).toContain('<time datetime="2026-11-25T10:00:00.000Z">2026-11-25</time>');
  expect(report).toContain("<dt>Flagged for review</dt><dd>25 % (10 of 40)</dd>");
  expect(report).toContain("40, and 2 that failed");
  expect(report.indexOf("Scores &lt; 1 flatter.")).toBeLessThan(report.indexOf("<h2>"));
  expect(report).toContain("Scores &lt; 1 flatter.");
  expect(report).not.toContain('<img src="https://');
});

describe.skipIf(CHROMIUM === undefined)("in a browser", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser?.close());

  test.each(APPEARANCES)("axe finds nothing wrong in $name, and nothing scrolls sideways", async (look) => {
    const page = await browser.newPage();
    const fetched: string[] = [];
    page.on("request", (request) => fetched.push(request.url()));
    await appearAs(page, look);
    await page.goto(pathToFileURL(file).href);
    await page.getByText("The same in numbers").click();
    expect(await axeViolations(page)).toEqual([]);
    expect(await sidewaysScroll(page)).toBe(0);
    expect(fetched.filter((url) => !url.startsWith("data:"))).toEqual([pathToFileURL(file).href]);
    await page.close();
  });

  test("its tables have headers for their columns and rows", async () => {
    const page = await browser.newPage();
    await page.goto(pathToFileURL(file).href);
    const tables = page.getByRole("table");
    expect(await tables.count()).toBeGreaterThanOrEqual(3);
    const shares = page.getByRole("group", { name: "Flagged share against quality" });
    expect(await shares.getByRole("columnheader").allTextContents()).toEqual([
      "Flagged",
      "From score",
      "ROUGE-L of the rest",
      "CIDEr-D of the rest",
    ]);
    expect(await shares.getByRole("rowheader").first().textContent()).toBe("0 %");
    await page.close();
  });
});
