/**
 * Measures how the desk feels with many pictures, in a real Chromium against the real worker. The captioner answers
 * at once, so only the page is measured. Long tasks are those over 50 ms on the page's thread. A key's delay is the
 * time from the key to the frame that shows its effect.
 */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Browser, CDPSession, Page } from "playwright-core";
import sharp from "sharp";
import * as z from "zod";
import { launchBrowser, requireChromium } from "../local/chromium.ts";
import { startEdge } from "../local/edge.ts";
import { startBackend } from "../test/e2e/edge-support.ts";
import { distinct } from "./backend-process.ts";
import { median, percentile, type Report } from "./report.ts";

const KEYS = 60;
const BETWEEN_KEYS_MS = 40;
const SCROLL_STEPS = 60;

export const Options = z.object({
  pictures: z.coerce.number().int().positive().default(500).describe("Pictures on the desk."),
  megapixels: z.coerce.number().positive().default(12).describe("Of each picture, as a camera makes them."),
});

export async function run({ pictures, megapixels }: z.infer<typeof Options>): Promise<Report> {
  requireChromium();
  const folder = await mkdtemp(path.join(tmpdir(), "bench-desk-"));
  const backend = await startBackend();
  const edge = await startEdge({ BACKEND_URLS: backend.url });
  const browser = await launchBrowser();
  try {
    const files = await writePictures(folder, pictures, megapixels);
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
    const session = await page.context().newCDPSession(page);
    await page.addInitScript(observe);
    await page.goto(edge.url);

    const added = performance.now();
    await page.getByLabel("Picture files").setInputFiles(files);
    await rowsOf(page, pictures);
    const shown_ms = performance.now() - added;
    const field = page.locator("#rows textarea").first();
    await page.waitForFunction(() => document.querySelector("#rows textarea:not([readonly])") !== null);
    await field.focus();
    const typing_meanwhile = await pressing(page, () => page.keyboard.type("a ".repeat(KEYS / 2), SLOWLY));
    await page.waitForFunction(
      (count) => document.querySelectorAll("#rows textarea:not([readonly])").length === count,
      pictures,
      { timeout: 600_000 },
    );
    const captioned_ms = performance.now() - added;
    const while_captioning = { ...typing_meanwhile, long_tasks: await longTasks(page) };
    const memory_captioned = await memoryOf(session, browser);

    const typing = await pressing(page, () => page.keyboard.type("b ".repeat(KEYS / 2), SLOWLY));
    const accepting = await pressing(page, async () => {
      for (let i = 0; i < KEYS; i++) await page.keyboard.press("Enter", SLOWLY);
    });
    const sorting = await pressing(page, () => page.getByLabel("Those to be reviewed first").press("Space"));
    for (let step = 1; step <= SCROLL_STEPS; step++) {
      await page.evaluate(
        (share) => scrollTo(0, share * document.documentElement.scrollHeight),
        step / SCROLL_STEPS,
      );
      await page.waitForTimeout(50);
    }
    const scrolled = { long_tasks: await longTasks(page), memory: await memoryOf(session, browser) };

    const reloaded = performance.now();
    await page.reload();
    await rowsOf(page, pictures);
    const reloaded_ms = performance.now() - reloaded;
    return {
      pictures,
      megapixels,
      mib_of_files: Math.round((pictures * (await readFile(files[0] ?? "")).length) / 2 ** 20),
      shown_ms: Math.round(shown_ms),
      captioned_ms: Math.round(captioned_ms),
      while_captioning,
      memory_captioned,
      typing,
      accepting,
      sorting,
      scrolled,
      reload: { shown_ms: Math.round(reloaded_ms), long_tasks: await longTasks(page) },
    };
  } finally {
    await browser.close();
    await edge.stop();
    backend.process.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

const SLOWLY = { delay: BETWEEN_KEYS_MS };

/** Writes pictures of the same scene, each with a hash of its own. */
async function writePictures(folder: string, count: number, megapixels: number): Promise<string[]> {
  const width = Math.round(Math.sqrt((megapixels * 1e6 * 4) / 3));
  const height = Math.round((width * 3) / 4);
  const noise = { type: "gaussian", mean: 128, sigma: 40 } as const;
  const jpeg = await sharp({
    create: { width: width >> 2, height: height >> 2, channels: 3, background: "black", noise },
  })
    .resize(width, height)
    .jpeg({ quality: 80 })
    .toBuffer();
  const files = Array.from({ length: count }, (_, i) => path.join(folder, `photo ${i}.jpg`));
  for (const [i, file] of files.entries()) await writeFile(file, distinct(jpeg, i));
  return files;
}

/** Runs in the page, before the page's own script. */
function observe(): void {
  const seen = { tasks: [] as number[], keys: [] as number[] };
  Object.assign(globalThis, { seen });
  new PerformanceObserver((list) => {
    seen.tasks.push(...list.getEntries().map(({ duration }) => duration));
  }).observe({ type: "longtask", buffered: true });
  addEventListener(
    "keydown",
    ({ timeStamp }) => {
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => seen.keys.push(performance.now() - timeStamp);
        port2.postMessage(undefined);
      });
    },
    { capture: true },
  );
}

interface Seen {
  tasks: number[];
  keys: number[];
}

/** Returns what was seen since the last call. */
async function takeSeen(page: Page, what: keyof Seen): Promise<number[]> {
  return page.evaluate((name) => (globalThis as unknown as { seen: Seen }).seen[name].splice(0), what);
}

async function pressing(page: Page, press: () => Promise<void>): Promise<Report> {
  await takeSeen(page, "keys");
  await press();
  await page.waitForTimeout(200);
  const delays = await takeSeen(page, "keys");
  return {
    keys: delays.length,
    delay_ms: {
      median: rounded(median(delays)),
      p95: rounded(percentile(delays, 0.95)),
      most: rounded(Math.max(...delays)),
    },
  };
}

async function longTasks(page: Page): Promise<Report> {
  const tasks = await takeSeen(page, "tasks");
  return {
    count: tasks.length,
    longest_ms: Math.round(Math.max(0, ...tasks)),
    together_ms: Math.round(tasks.reduce((sum, ms) => sum + ms, 0)),
  };
}

/** Memory of the page's script after a garbage collection, and of the processes that show the page. */
async function memoryOf(session: CDPSession, browser: Browser): Promise<Report> {
  await session.send("HeapProfiler.collectGarbage");
  await session.send("Performance.enable");
  const { metrics } = await session.send("Performance.getMetrics");
  const of = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? 0;
  const system = await browser.newBrowserCDPSession();
  const { processInfo } = await system.send("SystemInfo.getProcessInfo");
  await system.detach();
  const shares = await Promise.all(
    processInfo
      .filter(({ type }) => type === "renderer")
      .map(async ({ id }) => {
        const rollup = await readFile(`/proc/${id}/smaps_rollup`, "utf8").catch(() => "");
        return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
      }),
  );
  return {
    script_heap_mib: Math.round(of("JSHeapUsedSize") / 2 ** 20),
    nodes: of("Nodes"),
    renderer_mib: Math.round(Math.max(0, ...shares) / 1024),
  };
}

async function rowsOf(page: Page, count: number): Promise<void> {
  await page.waitForFunction((wanted) => document.querySelectorAll("#rows > li").length === wanted, count, {
    timeout: 600_000,
  });
}

const rounded = (ms: number) => Math.round(ms * 10) / 10;
