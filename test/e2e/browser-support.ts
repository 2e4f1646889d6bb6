/** Tests of pages in a real browser: how a page may be shown, and what axe-core finds in one. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { CHROMIUM } from "../../local/chromium.ts";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

if (CHROMIUM === undefined) console.log("Pages are not tested: there is no Chromium on this machine.");

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
