/** The Chromium of this machine, for tests of pages, measurements and screenshots. */

import { existsSync } from "node:fs";
import type { Browser } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The path of Chromium; undefined if there is none. */
export const CHROMIUM = PLACES.find(existsSync);

/** There is no Chromium on this machine; the message says where it was looked for. */
export class NoChromiumError extends Error {
  override readonly name = "NoChromiumError";
}

/** The path of Chromium, for callers that start something else first. @throws NoChromiumError */
export function requireChromium(): string {
  if (CHROMIUM !== undefined) return CHROMIUM;
  throw new NoChromiumError(`There is no Chromium on this machine: none of ${PLACES.join(", ")}.`);
}

/** Starts Chromium without a window; close it when done. @throws NoChromiumError */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = requireChromium();
  const { chromium } = await import("playwright-core");
  // Chromium's sandbox does not start as root, the user of most containers.
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}
