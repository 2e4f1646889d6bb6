/** The playground in a real browser, as a person, a keyboard and a screen reader's rules meet it. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { jpegPicture } from "../support/pictures.ts";
import { type RunningBackend, type RunningEdge, startBackend, startEdge } from "./edge-support.ts";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  existsSync,
);
if (CHROMIUM === undefined)
  console.log("The playground is not tested: there is no Chromium on this machine.");

describe.skipIf(CHROMIUM === undefined)("the playground", () => {
  let edge: RunningEdge;
  let backend: RunningBackend;
  let browser: Browser;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    backend = await startBackend();
    edge = await startEdge({ BACKEND_URLS: backend.url });
    browser = await chromium.launch({ executablePath: CHROMIUM ?? "", args: ["--no-sandbox"] });
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    await edge?.stop();
    backend?.process.kill("SIGKILL");
  });
  beforeEach(async () => {
    const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"] });
    page = await context.newPage();
    complaints = [];
    // Also what the content security policy blocks ends up here.
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(edge.url);
  });
  afterEach(async () => {
    await page.context().close();
  });

  const choose = async (seed: number) => {
    const buffer = Buffer.from(await jpegPicture(seed));
    await page
      .getByLabel("Picture file")
      .setInputFiles({ name: "my photo.jpg", mimeType: "image/jpeg", buffer });
    await page.getByRole("heading", { name: "Alt text", exact: true }).waitFor();
  };
  const text = async (id: string) => (await page.locator(`#${id}`).textContent()) ?? "";

  test("captions a file, and the second time the cache answers", async () => {
    await choose(40);
    expect(await text("alt")).toMatch(/^\d+ \d+ \d+$/);
    expect(await text("tier")).toContain("the captioner");
    expect(await text("legs")).toContain("Captioner");
    expect(await page.getByRole("img").getAttribute("alt")).toBe(await text("alt"));
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.locator("#tier", { hasText: "memory" }).waitFor();
    expect(await text("legs")).toContain("Everything");
    expect(complaints).toEqual([]);
  });

  test("captions what is dropped and what is pasted", async () => {
    for (const [type, seed] of [
      ["drop", 80],
      ["paste", 120],
    ] as const) {
      const bytes = Array.from(await jpegPicture(seed));
      await page.evaluate(
        ([eventType, data]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(data)], "x.jpg", { type: "image/jpeg" }));
          const event =
            eventType === "drop"
              ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
              : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
          document.body.dispatchEvent(event);
        },
        [type, bytes] as const,
      );
      await page.locator("#tier", { hasText: "captioner" }).waitFor();
      expect(await text("alt")).toMatch(/^\d+ \d+ \d+$/);
      await page.reload();
    }
  });

  test("says in words what went wrong", async () => {
    await page.getByLabel("Or its address").fill("http://127.0.0.1/secret.png");
    await page.getByRole("button", { name: "Caption the address" }).click();
    await page.getByRole("alert").filter({ hasText: "may not be fetched" }).waitFor();
    const buffer = Buffer.from("hello");
    await page.getByLabel("Picture file").setInputFiles({ name: "a.jpg", mimeType: "image/jpeg", buffer });
    await page.getByRole("alert").filter({ hasText: "not a picture" }).waitFor();
  });

  test("copies the alt text and a curl line that works as it is", async () => {
    await choose(160);
    await page.getByRole("button", { name: "Copy the alt text" }).click();
    await page.getByRole("status").filter({ hasText: "Alt text copied." }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await text("alt"));
    await page.getByRole("button", { name: "Copy the curl line" }).click();
    await page.getByRole("status").filter({ hasText: "curl line copied" }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
      `curl --data-binary @'my photo.jpg' ${edge.url}/v1/captions`,
    );
  });

  test("is worked by keyboard alone", async () => {
    const reached: string[] = [];
    for (let step = 0; step < 6; step++) {
      await page.keyboard.press("Tab");
      reached.push(
        await page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent || ""),
      );
    }
    expect(reached).toEqual([
      "API documentation",
      "OpenAPI",
      "file",
      "url",
      "Caption the address",
      "Options",
    ]);
    await page.keyboard.press("Enter");
    await page.getByLabel("Longest alt text").waitFor();
    await page.getByLabel("Or its address").focus();
    await page.keyboard.type("ftp:");
    await page.keyboard.press("Enter");
    await page
      .getByRole("alert")
      .filter({ hasText: /address/ })
      .waitFor();
  });

  test.each([
    ["light", "/"],
    ["dark", "/"],
    ["light", "/docs"],
    ["dark", "/docs"],
  ] as const)("axe finds nothing wrong in %s %s", async (colorScheme, path) => {
    await page.emulateMedia({ colorScheme });
    await page.goto(`${edge.url}${path}`);
    if (path === "/") await choose(200);
    // Not by a script tag: the page's own policy forbids that.
    await page.evaluate(
      await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"),
    );
    const { violations } = await page.evaluate(
      (): Promise<AxeResults> => (globalThis as unknown as { axe: typeof import("axe-core") }).axe.run(),
    );
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual(
      [],
    );
  });

  test("fits a small screen without scrolling sideways", async () => {
    await page.setViewportSize({ width: 320, height: 640 });
    await choose(240);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  });
});
