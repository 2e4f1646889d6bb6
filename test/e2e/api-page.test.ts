/** The API's page in a real browser: read, walked by its links, and its requests sent. */

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CHROMIUM, launchBrowser } from "../../local/chromium.ts";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { BatchLine, Caption } from "../../shared/schema.ts";
import { jpegPicture } from "../support/pictures.ts";
import { APPEARANCES, appearAs, axeViolations, sidewaysScroll } from "./browser-support.ts";
import { type RunningBackend, startBackend } from "./edge-support.ts";

describe.skipIf(CHROMIUM === undefined)("the API's page", () => {
  let edge: RunningEdge;
  let backend: RunningBackend;
  let browser: Browser;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    backend = await startBackend();
    edge = await startEdge({ BACKEND_URLS: backend.url });
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await edge?.stop();
    backend?.process.kill("SIGKILL");
  });
  beforeEach(async () => {
    page = await (await browser.newContext()).newPage();
    complaints = [];
    // What the policy blocks, and what is fetched from elsewhere.
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(edge.url)) complaints.push(request.url());
    });
    await page.goto(`${edge.url}/docs`);
  });
  afterEach(async () => {
    await page.context().close();
    expect(complaints).toEqual([]);
  });

  const section = (id: string) => page.locator("section", { has: page.locator(`#${id}`) });
  const answer = (id: string) => section(id).locator("form pre");

  test.each(APPEARANCES)("axe finds nothing wrong in $name, and nothing scrolls sideways", async (look) => {
    await appearAs(page, look);
    await section("createJob").getByText("Try it").click();
    expect(await axeViolations(page)).toEqual([]);
    expect(await sidewaysScroll(page)).toBe(0);
  });

  test("lists all operations, each with a curl line, an answer and a form, and every link within it leads somewhere", async () => {
    const { paths } = (await (await fetch(`${edge.url}/openapi.json`)).json()) as { paths: object };
    const ids = Object.values(paths).flatMap((methods) =>
      Object.values(methods as Record<string, { operationId: string }>).map(({ operationId }) => operationId),
    );
    expect(ids.length).toBe(12);
    for (const id of ids) {
      await page.getByRole("navigation", { name: "Contents" }).locator(`a[href="#${id}"]`).waitFor();
      expect(await section(id).locator("pre").first().textContent()).toContain("curl ");
      expect(
        await section(id)
          .getByRole("heading", { name: /^Answer 20\d$/ })
          .count(),
      ).toBeGreaterThan(0);
      expect(await section(id).getByText("Try it").isVisible()).toBe(true);
    }
    const targets = await page
      .locator('a[href^="#"]')
      .evaluateAll((links) => [...new Set(links.map((link) => link.getAttribute("href") ?? ""))]);
    expect(targets.length).toBeGreaterThan(60);
    for (const target of targets) expect([target, await page.locator(target).count()]).toEqual([target, 1]);
  });

  test("sends a picture and shows headers and answer", async () => {
    await section("captionPicture").getByText("Try it").click();
    await section("captionPicture").getByRole("button", { name: "Send" }).click();
    await section("captionPicture").getByText("Choose a picture first.").waitFor();
    const buffer = Buffer.from(await jpegPicture(7));
    await section("captionPicture")
      .getByLabel("Picture file")
      .first()
      .setInputFiles({ name: "a.jpg", mimeType: "image/jpeg", buffer });
    await section("captionPicture").getByRole("button", { name: "Send" }).click();
    await section("captionPicture")
      .getByText(/^Answered 200 after \d+ ms\.$/)
      .waitFor();
    await expect.poll(() => answer("captionPicture").textContent()).toMatch(/\n\}$/);
    const [head = "", ...body] = ((await answer("captionPicture").textContent()) ?? "").split("\n\n");
    expect(head).toContain("cache-status: kv; fwd=miss; stored");
    Caption.parse(JSON.parse(body.join("\n\n")));
  });

  test("shows the lines of a batch", async () => {
    await section("captionBatch").getByText("Try it").click();
    const image = Buffer.from(await jpegPicture(8)).toString("base64");
    await section("captionBatch")
      .locator("textarea")
      .fill(JSON.stringify({ items: [{ image }, { image }] }));
    await section("captionBatch").getByRole("button", { name: "Send" }).click();
    // The lines are shown as they come, and the last may be there in part.
    const wholeLines = async () =>
      ((await answer("captionBatch").textContent()) ?? "").match(/^\{.*(?=\n)/gm) ?? [];
    await expect.poll(wholeLines).toHaveLength(2);
    for (const line of await wholeLines()) expect(BatchLine.parse(JSON.parse(line)).status).not.toBe("error");
  });

  test("sent again before it was answered, it waits for the newer request, which can be stopped", async () => {
    const form = section("findCaption");
    await page.route("**/v1/captions/*", () => {});
    await form.getByText("Try it").click();
    for (let sent = 0; sent < 2; sent++) {
      const asked = page.waitForRequest("**/v1/captions/*");
      await form.getByRole("button", { name: "Send" }).click();
      await asked;
    }
    // What the older request leaves behind comes after its end.
    await page.waitForTimeout(100);
    expect(await form.getByRole("status").textContent()).toBe("Sent.");
    await form.getByRole("button", { name: "Stop" }).click({ timeout: 5_000 });
    await form.getByText("Stopped.").waitFor();
    expect(await form.getByRole("button", { name: "Stop" }).isVisible()).toBe(false);
  });

  test("sends the key that a person gives, and keeps it nowhere", async () => {
    await page.getByLabel("API key for what you try here").fill("ate_mine");
    await section("findCaption").getByText("Try it").click();
    const [request] = await Promise.all([
      page.waitForRequest("**/v1/captions/*"),
      section("findCaption").getByRole("button", { name: "Send" }).click(),
    ]);
    expect((await request.allHeaders()).authorization).toBe("Bearer ate_mine");
    await section("findCaption")
      .getByText(/^Answered 404/)
      .waitFor();
    // The browser's own word for the 404.
    complaints = complaints.filter((words) => !words.startsWith("Failed to load resource"));
    expect(await page.evaluate(() => localStorage.length + sessionStorage.length)).toBe(0);
    expect(await page.evaluate(() => document.cookie)).toBe("");
    await page.reload();
    expect(await page.getByLabel("API key for what you try here").inputValue()).toBe("");
  });

  test("can be read without a script, and shows no form that would do nothing", async () => {
    const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
    await plain.goto(`${edge.url}/docs`);
    expect(await plain.getByText("Try it").first().isVisible()).toBe(false);
    expect(await plain.getByLabel("API key").isVisible()).toBe(false);
    await plain.getByRole("navigation", { name: "Contents" }).getByRole("link", { name: "Errors" }).click();
    expect(await plain.getByRole("rowheader", { name: "quota-exceeded" }).isVisible()).toBe(true);
    await plain.context().close();
  });

  test("its curl lines run as they stand, and are answered as the document says", async () => {
    const operations = await page.locator("main section").evaluateAll((sections) =>
      sections.map((element) => ({
        lines: [...element.querySelectorAll("pre")]
          .map(({ textContent }) => textContent ?? "")
          .filter((text) => text.includes("$API")),
        statuses: [...element.querySelectorAll("h4, tbody th")].map(({ textContent }) => textContent ?? ""),
      })),
    );
    expect(operations.length).toBe(12);
    const folder = await mkdtemp(path.join(tmpdir(), "curl-"));
    await writeFile(path.join(folder, "photo.jpg"), await jpegPicture(9));
    const env = { PATH: process.env.PATH, API: edge.url, KEY: "ate_mine" };
    for (const { lines, statuses } of operations) {
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) {
        const quiet = line.replace("curl ", "curl -sS -m 20 -o answer -w '%{http_code}' ");
        const { stdout } = await promisify(execFile)("sh", ["-c", quiet], { cwd: folder, env });
        expect([line, statuses]).toEqual([line, expect.arrayContaining([expect.stringContaining(stdout)])]);
        expect([line, Number(stdout) < 500]).toEqual([line, true]);
      }
    }
    await rm(folder, { recursive: true });
  });
});
