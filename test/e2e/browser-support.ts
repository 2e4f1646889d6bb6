/** A real browser for tests of pages, and what axe-core finds in one. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Where Chromium is; undefined where this machine has none, and tests of pages are skipped. */
export const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  existsSync,
);
if (CHROMIUM === undefined) console.log("Pages are not tested: there is no Chromium on this machine.");

export const launchBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: CHROMIUM ?? "", args: ["--no-sandbox"] });

/** How a person may have a page shown. */
export const APPEARANCES = [
  { name: "light", colorScheme: "light", forcedColors: "none", width: 1280 },
  { name: "dark", colorScheme: "dark", forcedColors: "none", width: 1280 },
  { name: "forced colours", colorScheme: "light", forcedColors: "active", width: 1280 },
  { name: "a phone", colorScheme: "light", forcedColors: "none", width: 320 },
] as const;

export async function appearAs(page: Page, look: (typeof APPEARANCES)[number]): Promise<void> {
  const { colorScheme, forcedColors, width } = look;
  await page.emulateMedia({ colorScheme, forcedColors });
  await page.setViewportSize({ width, height: 800 });
}

/** What axe-core finds wrong with the page as it is: a rule, and where. */
export async function axeViolations(page: Page): Promise<string[]> {
  // Not by a script tag: the page's own policy forbids that.
  await page.evaluate(await readFile(AXE, "utf8"));
  const { violations } = await page.evaluate(
    (): Promise<AxeResults> => (globalThis as unknown as { axe: typeof import("axe-core") }).axe.run(),
  );
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

/** Pixels by which the page can be scrolled sideways. */
export const sidewaysScroll = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
