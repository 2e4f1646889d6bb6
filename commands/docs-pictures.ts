/** `npm run docs:pictures`: takes the documentation's screenshots of the running service with the embedded model. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import * as z from "zod";
import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../backend/model/embedded.ts";
import { startBackend } from "../bench/backend-process.ts";
import { launchBrowser, requireChromium } from "../local/chromium.ts";
import { startEdge } from "../local/edge.ts";
import { runCommand } from "./command-line.ts";

/** Pixels around the part that is shown. */
const MARGIN = 16;
const FOLDER = join(import.meta.dirname, "../docs/images");

const COMMAND = {
  invocation: "npm run docs:pictures",
  summary:
    "Takes the screenshots in docs/images: the desk with the example pictures, wide and on a phone, and the API's page. Needs Chromium.",
  arguments: z.tuple([], "expected no arguments"),
  options: z.object({}),
  examples: ["npm run docs:pictures"],
} as const;

async function main(): Promise<undefined> {
  requireChromium();
  await mkdir(FOLDER, { recursive: true });
  await openEmbeddedBundle();
  const backend = await startBackend({ BUNDLE: EMBEDDED_BUNDLE });
  const edge = await startEdge({ BACKEND_URLS: backend.url, ACCESS: "open" });
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage({ viewport: { width: 960, height: 2_000 } });
    await lookOver(page, edge.url);
    const work = await page.locator("#work").boundingBox();
    if (work === null) throw new Error("This is a bug: the desk shows no rows.");
    const clip = {
      x: work.x - MARGIN,
      y: work.y,
      width: work.width + 2 * MARGIN,
      height: work.height + MARGIN,
    };
    await page.screenshot({ path: join(FOLDER, "desk.png"), clip, fullPage: true });
    const phone = await browser.newPage({
      viewport: { width: 390, height: 844 },
      colorScheme: "dark",
      hasTouch: true,
      isMobile: true,
    });
    await lookOver(phone, edge.url);
    await phone.locator("#work-title").scrollIntoViewIfNeeded();
    await phone.locator("#work-title").evaluate((title) => title.scrollIntoView());
    await phone.screenshot({ path: join(FOLDER, "desk-phone.png") });
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.goto(`${edge.url}/docs#captions`);
    await page.screenshot({ path: join(FOLDER, "api.png") });
  } finally {
    await browser.close();
    await edge.stop();
    await backend.stop();
  }
}

/** Has the example pictures captioned, and accepts the first of them. */
async function lookOver(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.getByRole("button", { name: "Try three example pictures" }).click();
  const rows = page.locator("#rows > li");
  await rows
    .filter({ hasText: "astronaut.jpg" })
    .getByText(/Unsure|fairly sure/)
    .waitFor();
  await rows.locator("img[src^=blob]").first().waitFor();
  await rows.first().getByRole("button", { name: "Accept" }).click();
}

await runCommand(COMMAND, main);
