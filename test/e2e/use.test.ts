/** The examples of docs/use.md, run as they stand there against the running system. */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod/mini";
import { CHROMIUM, launchBrowser } from "../../local/chromium.ts";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { BatchLine, Caption } from "../../shared/schema.ts";
import { type RunningBackend, startBackend } from "./edge-support.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CLIENT = fileURLToPath(new URL("../../client/index.ts", import.meta.url));
const run = promisify(execFile);

const page = await readFile(join(ROOT, "docs/use.md"), "utf8");
/** Blocks of code by what stands behind their fence. */
const blocks = (fence: string) =>
  Array.from(page.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm), ([, kind = "", code = ""]) => ({ kind, code }))
    .filter(({ kind }) => kind === fence)
    .map(({ code }) => code);

let backend: RunningBackend;
let edge: RunningEdge;

beforeAll(async () => {
  backend = await startBackend();
  edge = await startEdge({ BACKEND_URLS: backend.url });
});
afterAll(async () => {
  backend.process.kill("SIGKILL");
  await edge.stop();
});

const inShell = async (code: string) =>
  (await run("bash", ["-euo", "pipefail", "-c", code], { cwd: ROOT, env: { ...process.env, API: edge.url } }))
    .stdout;

describe("docs/use.md", () => {
  const [setting, ...requests] = blocks("sh");

  test("sets API only where it is not set", async () => {
    expect(await inShell(`${setting}\nprintf %s "$API"`)).toBe(edge.url);
  });

  test.each(requests.filter((code) => !code.includes("/batch")))("%s", async (code) => {
    const caption = Caption.parse(JSON.parse(await inShell(code)));
    expect(caption.alt).not.toBe("");
  });

  test.each(requests.filter((code) => code.includes("/batch")))("%s", async (code) => {
    const lines = (await inShell(code)).trimEnd().split("\n");
    const parsed = lines.map((line) => BatchLine.parse(JSON.parse(line)));
    expect(parsed.map(({ status }) => status).sort()).toEqual(["cached", "error"]);
    expect(parsed.find(({ status }) => status === "cached")?.metadata).toEqual({ id: 7 });
  });

  test.each(blocks("sh slow"))("%s", async (code) => {
    const lines = (
      await inShell(code.replace("npm run -s caption --", `${process.execPath} commands/caption.ts`))
    )
      .trimEnd()
      .split("\n");
    expect(lines.map((line) => line.split("\t")[0])).toEqual([
      "examples/cat.jpg",
      "examples/astronaut.jpg",
      "examples/cat.jpg",
      "examples/rocket.jpg",
    ]);
  });

  test.each(blocks("ts"))("%s", async (code) => {
    const folder = await mkdtemp(join(tmpdir(), "use-"));
    try {
      const file = join(folder, "example.mts");
      await writeFile(file, code.replace('"alt-text-edge-client"', JSON.stringify(CLIENT)));
      const { stdout } = await run(process.execPath, [file], {
        cwd: ROOT,
        env: { ...process.env, API: edge.url },
      });
      expect(stdout).toMatch(/^\S.* (true|false)\nnot-an-image\n$/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test.each(blocks("js"))("%s", async (code) => {
    const folder = await mkdtemp(join(tmpdir(), "use-"));
    try {
      const file = join(folder, "example.mjs");
      const here = code
        .replace("http://127.0.0.1:8787/models/hybrid-small/lora", `${edge.url}/models/test/fake`)
        .replace('"@huggingface/inference"', JSON.stringify(import.meta.resolve("@huggingface/inference")));
      await writeFile(file, here);
      // What the stand-in for a model says: the colour that it saw.
      expect((await run(process.execPath, [file], { cwd: ROOT })).stdout).toMatch(/^\d+ \d+ \d+\n$/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  describe.skipIf(CHROMIUM === undefined)("in a browser", () => {
    const [script = "", form = ""] = blocks("html");
    const atEdge = (code: string) => code.replaceAll("http://127.0.0.1:8787", edge.url);
    const picture = join(ROOT, "examples/cat.jpg");

    test(script, async () => {
      const browser = await launchBrowser();
      try {
        const page = await browser.newPage();
        await page.setContent(atEdge(script));
        await page.setInputFiles("#file", picture);
        await page.waitForFunction(() => document.querySelector("#alt")?.textContent);
        // What the stand-in for a model says: the colour that it saw.
        expect(await page.textContent("#alt")).toMatch(/^\d+ \d+ \d+$/);
      } finally {
        await browser.close();
      }
    });

    test(form, async () => {
      const browser = await launchBrowser();
      try {
        const page = await browser.newPage();
        await page.setContent(atEdge(form));
        await page.setInputFiles("input[type=file]", picture);
        const [response] = await Promise.all([page.waitForResponse(/v1\/captions/), page.click("button")]);
        expect(Caption.parse(await response.json()).alt).not.toBe("");
      } finally {
        await browser.close();
      }
    });
  });

  test("its answer has the fields of the API's, and its key order", () => {
    const [answer = ""] = blocks("json");
    const caption = z.strictObject(Caption.shape).parse(JSON.parse(answer));
    expect(Object.keys(caption)).toEqual(Object.keys(Caption.shape));
  });
});
