/** `npm run docs:pictures`: the screenshots of the documentation, of the running service with the embedded model. */

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import * as z from "zod";
import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../backend/model/embedded.ts";
import { startBackend } from "../bench/backend-process.ts";
import { startEdge } from "../test/e2e/edge-support.ts";
import { CommandError, runCommand } from "./command-line.ts";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FOLDER = join(import.meta.dirname, "../docs/images");

const COMMAND = {
  invocation: "npm run docs:pictures",
  summary:
    "Takes the screenshots in docs/images: the desk with the example pictures, and the API's page. Needs Chromium.",
  arguments: z.tuple([], "expected no arguments"),
  options: z.object({}),
  examples: ["npm run docs:pictures"],
} as const;

async function main(): Promise<undefined> {
  const executablePath = CHROMIUM.find(existsSync);
  if (executablePath === undefined) throw new CommandError("There is no Chromium on this machine.");
  await mkdir(FOLDER, { recursive: true });
  await openEmbeddedBundle();
  const backend = await startBackend({ BUNDLE: EMBEDDED_BUNDLE });
  const edge = await startEdge({ BACKEND_URLS: backend.url, ACCESS: "open" });
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ viewport: { width: 960, height: 2_000 } });
    await page.goto(edge.url);
    await page.getByRole("button", { name: "Try three example pictures" }).click();
    await page
      .locator("#rows > li", { hasText: "astronaut.jpg" })
      .getByText(/Unsure|fairly sure/)
      .waitFor();
    const cat = page.locator("#rows > li").first();
    await cat.getByRole("button", { name: "Accept" }).click();
    await page.locator("#work").screenshot({ path: join(FOLDER, "desk.png") });
    await page.setViewportSize({ width: 960, height: 900 });
    await page.goto(`${edge.url}/docs`);
    await page.screenshot({ path: join(FOLDER, "api.png") });
  } finally {
    await browser.close();
    await edge.stop();
    await backend.stop();
  }
}

await runCommand(COMMAND, main);
