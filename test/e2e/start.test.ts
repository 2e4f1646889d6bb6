/** `npm start` as a newcomer runs it: real backend, real workerd, the embedded model, and Ctrl-C. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Caption } from "../../shared/schema.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PHOTO = fileURLToPath(new URL("../../examples/astronaut.jpg", import.meta.url));
const CAPTIONS = "http://127.0.0.1:8787/v1/captions";

describe("npm start", () => {
  let service: ChildProcess;
  let output = "";

  beforeAll(async () => {
    service = spawn(process.execPath, ["commands/start.ts"], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [service.stdout, service.stderr]) stream?.on("data", (chunk) => (output += chunk));
    while (!output.includes("Ctrl-C stops it")) {
      if (service.exitCode !== null) throw new Error(`npm start ended:\n${output}`);
      await new Promise((wake) => setTimeout(wake, 100));
    }
  }, 120_000);

  afterAll(() => {
    service.kill("SIGKILL");
  });

  /** A picture nobody has sent before: the photograph with a comment after its end marker. */
  async function unseenPhoto(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(Buffer.concat([await readFile(PHOTO), Buffer.from(crypto.randomUUID())]));
  }

  test("prints the curl line and the playground's address", () => {
    expect(output).toContain(`curl --data-binary @photo.jpg ${CAPTIONS}`);
    expect(output).toContain("playground: http://127.0.0.1:8787/");
  });

  test("a photograph gets a caption, and the second time from the cache", async () => {
    const body = await unseenPhoto();
    const first = await fetch(CAPTIONS, { method: "POST", body });
    const second = await fetch(CAPTIONS, { method: "POST", body });
    const [made, kept] = [Caption.parse(await first.json()), Caption.parse(await second.json())];
    expect(first.headers.get("cache-status")).toContain("fwd=miss");
    expect(made.cached).toBe(false);
    expect(made.caption).toMatch(/\w+ \w+/);
    expect(second.headers.get("cache-status")).toContain("hit");
    expect(kept).toEqual({ ...made, cached: true });
  });

  test.each([
    ["an empty body", new Uint8Array(), "empty-body", 400],
    ["text", new TextEncoder().encode("hello"), "not-an-image", 415],
    ["SVG", new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg"/>'), "unsupported-image", 415],
  ])("%s gets its own problem", async (_, body, code, status) => {
    const response = await fetch(CAPTIONS, { method: "POST", body });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await response.json()).toMatchObject({ code, status });
  });

  test("a truncated photograph gets its own problem, and the service lives on", async () => {
    const body = (await unseenPhoto()).slice(0, 2000);
    const response = await fetch(CAPTIONS, { method: "POST", body });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ code: "unreadable-image" });
    expect((await fetch(CAPTIONS, { method: "POST", body: await unseenPhoto() })).status).toBe(200);
  });

  test("Ctrl-C stops both and ends with status 0", async () => {
    const exited = once(service, "exit");
    service.kill("SIGINT");
    expect(await exited).toEqual([0, null]);
    for (const port of [8787, 8788])
      await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();
  });
});
