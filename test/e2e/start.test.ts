/** `npm start` as a newcomer runs it: real backend, real workerd, the embedded model, and every way in which it ends. */

import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openFastest } from "../../backend/engines/measured-dtype.ts";
import { buildBundle } from "../../backend/model/build.ts";
import { freePort } from "../../local/local-server.ts";
import { portHolder } from "../../local/port-holder.ts";
import { Problem } from "../../shared/problem.ts";
import { Caption } from "../../shared/schema.ts";
import { TINY_BASE, temporaryFolder } from "../support/tiny-blip.ts";
import { type StartedService, startService } from "./start-support.ts";

const PHOTO = fileURLToPath(new URL("../../examples/astronaut.jpg", import.meta.url));
const READY = "Ctrl-C stops it";
/** Until nothing of it is left, on a busy machine. */
const GONE_WITHIN_MS = 60_000;

/** A picture nobody has sent before: the photograph with a comment after its end marker. */
async function unseenPhoto(): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(Buffer.concat([await readFile(PHOTO), Buffer.from(crypto.randomUUID())]));
}

async function expectGone(service: StartedService): Promise<void> {
  await service.status();
  const deadline = Date.now() + GONE_WITHIN_MS;
  let left = await service.survivors();
  while (left.length > 0 && Date.now() < deadline) {
    await new Promise((wake) => setTimeout(wake, 100));
    left = await service.survivors();
  }
  expect(left).toEqual([]);
}

/** Starts it for one test, after which nothing of it is left. */
async function startForTest(...options: Parameters<typeof startService>): Promise<StartedService> {
  const service = await startService(...options);
  onTestFinished(async () => {
    service.process.kill("SIGKILL");
    await service.status();
  });
  return service;
}

describe("npm start", () => {
  let service: StartedService;
  let captions = "";

  beforeAll(async () => {
    // Exported as our own pages on deployment say: none of it belongs to a service on this machine.
    const environment = {
      BACKEND_SECRET: "of-another-deployment",
      PORT: "1",
      CORS_ORIGINS: "https://x.example",
    };
    service = await startService({ environment });
    captions = `${service.url}/v1/captions`;
    await service.printed(READY);
  });

  afterAll(async () => {
    service.process.kill("SIGKILL");
    await expectGone(service);
  });

  test("says what it does: the model's size while it loads, the curl line, the pages, what it did not heed", () => {
    const output = service.output();
    expect(output).toMatch(/Loading the model \(\d+ MB\)[\s\S]*Starting the API[\s\S]*Ready\./);
    expect(output).toContain(`curl --data-binary @photo.jpg ${captions}`);
    expect(output).toContain(`desk:       ${service.url}/`);
    expect(output).toMatch(/Not used from the shell: .*BACKEND_SECRET.*local\.env/);
    expect(output).not.toMatch(/error|warn/i);
  });

  test("leaves Node's debugging port free, even for another start", async () => {
    const ours = await service.pids("");
    const holder = /^process (\d+)/.exec((await portHolder(9229)) ?? "")?.[1];
    expect(ours).not.toContain(Number(holder));
  });

  test("a photograph gets a caption, and the second time from the cache", async () => {
    const body = await unseenPhoto();
    const first = await fetch(captions, { method: "POST", body });
    const second = await fetch(captions, { method: "POST", body });
    const [made, kept] = [Caption.parse(await first.json()), Caption.parse(await second.json())];
    expect(first.headers.get("cache-status")).toContain("fwd=miss");
    expect(made.cached).toBe(false);
    expect(made.caption).toMatch(/\w+ \w+/);
    expect(second.headers.get("cache-status")).toContain("hit");
    expect(kept).toEqual({ ...made, cached: true });
  });

  test("a page of another origin may call it", async () => {
    const headers = { origin: "https://cms.example.org" };
    const response = await fetch(captions, { method: "POST", body: await unseenPhoto(), headers });
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
  });

  test.each([
    ["an empty body", new Uint8Array(), "empty-body", 400],
    ["text", new TextEncoder().encode("hello"), "not-an-image", 415],
    ["SVG", new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg"/>'), "unsupported-image", 415],
  ])("%s gets its own problem", async (_, body, code, status) => {
    const response = await fetch(captions, { method: "POST", body });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await response.json()).toMatchObject({ code, status });
  });

  test("a truncated photograph gets its own problem, and the service lives on", async () => {
    const body = (await unseenPhoto()).slice(0, 2000);
    const response = await fetch(captions, { method: "POST", body });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ code: "unreadable-image" });
    expect((await fetch(captions, { method: "POST", body: await unseenPhoto() })).status).toBe(200);
  });

  test("an address that does not resolve is told to the caller, without a stack on the terminal", async () => {
    const response = await fetch(captions, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: "http://no-such-host.example.org/photo.jpg" }),
    });
    expect(await response.json()).toMatchObject({ code: "url-unreachable" });
    // Time for what it would print.
    await new Promise((wake) => setTimeout(wake, 500));
    expect(service.output()).not.toMatch(/stack|workerd@|ffi\.rs/);
  });

  test("a second one on the same ports says who holds them, and ends", async () => {
    const ports = [service.url, service.backendUrl].map((url) => Number(new URL(url).port));
    const second = await startForTest({ ports: [ports[0] ?? 0, ports[1] ?? 0] });
    expect(await second.status()).toBe(1);
    expect(second.output()).toMatch(/Port \d+ is in use by process \d+ \(.*workerd.*\)\. .*-- --port N/);
    expect(second.output()).toMatch(
      /Port \d+ is in use by process \d+ \(.*backend\/main\.ts.*\)\. .*--backend-port N/,
    );
    expect(second.output()).not.toMatch(/Ready| {4}at /);
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
  });

  test("Ctrl-C finishes what was accepted, stops everything and ends with status 0", async () => {
    const photos = await Promise.all(Array.from({ length: 12 }, unseenPhoto));
    const answers = photos.map((body) => fetch(`${captions}?num_beams=8`, { method: "POST", body }));
    const inFlight = async () =>
      Number(
        /^caption_requests_in_flight.* (\d+)$/m.exec(
          await (await fetch(`${service.backendUrl}/metrics`)).text(),
        )?.[1],
      );
    while ((await inFlight()) === 0) await new Promise((wake) => setTimeout(wake, 2));
    service.process.kill("SIGINT");
    const statuses: number[] = [];
    for (const answer of answers) {
      const response = await answer;
      statuses.push(response.status);
      if (response.status === 200) continue;
      // One that had not reached the backend is told to come again, whether the backend drains or has ended by then.
      expect(["overloaded", "unavailable"]).toContain(Problem.parse(await response.json()).code);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    }
    expect(statuses).toContain(200);
    expect(await service.status()).toBe(0);
    await expectGone(service);
  });
});

test("npm start says the revision that is served, not that of a precision which is slower here", async () => {
  const folder = join(await temporaryFolder(), "bundle");
  await buildBundle({ base: TINY_BASE, dtypes: ["int8", "fp32"], out: folder });
  const here = { device: "cpu", threads: availableParallelism() } as const;
  const { bundle } = await openFastest(folder, here, async ({ bundle: { manifest } }) =>
    manifest.dtype === "fp32" ? 1 : 9,
  );
  const service = await startForTest({ args: ["--bundle", folder] });
  await service.printed(READY);
  expect(service.output()).toContain(`revision ${bundle.manifest.revision}\n`);
  expect(service.output().match(/^Model /gm)).toHaveLength(1);
});

describe("npm start ends", () => {
  test.each(["Model", "Loading the model", "Ready"])(
    "at Ctrl-C once it has said %j",
    async (said) => {
      const service = await startForTest();
      await service.printed(said);
      service.process.kill("SIGINT");
      expect(await service.status()).toBe(0);
      await expectGone(service);
    },
    60_000,
  );

  test("at SIGTERM to npm", async () => {
    const service = await startForTest({ throughNpm: true });
    await service.printed(READY);
    service.process.kill("SIGTERM");
    await expectGone(service);
  });

  test("though it is killed itself", async () => {
    const service = await startForTest();
    await service.printed(READY);
    service.process.kill("SIGKILL");
    await expectGone(service);
  });

  test("when its backend dies, and says so", async () => {
    const service = await startForTest();
    await service.printed(READY);
    const [backend = Number.NaN] = await service.pids("backend/main.ts");
    process.kill(backend, "SIGKILL");
    expect(await service.status()).toBe(1);
    expect(service.output()).toMatch(/The backend ended with signal SIGKILL/);
    await expectGone(service);
  });

  test("when the runtime in front of its worker dies, and says so", async () => {
    const service = await startForTest();
    await service.printed(READY);
    const [runtime = Number.NaN] = await service.pids("workerd serve");
    process.kill(runtime, "SIGKILL");
    expect(await service.status()).toBe(1);
    expect(service.output()).toMatch(/The worker's runtime crashed and did not come back/);
    await expectGone(service);
  });
});

describe("npm start refuses", () => {
  test("a port that another program holds, by its name", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    onTestFinished(() => void holder.close());
    const address = holder.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const service = await startForTest({ ports: [port, await freePort()] });
    expect(await service.status()).toBe(1);
    expect(service.output()).toContain(`Port ${port} is in use by process ${process.pid} (`);
  });

  test("a bundle that is none", async () => {
    const folder = await mkdtemp(join(tmpdir(), "no-bundle-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, "notes.txt"), "");
    const service = await startForTest({ args: ["--bundle", folder] });
    expect(await service.status()).toBe(1);
    expect(service.output()).toMatch(/No bundle in .*model:build/);
  });

  test.each([
    [["--port", "0"], /--port: expected at least 1; got 0/],
    [["--colour"], /--colour/],
    [["photo.jpg"], /no arguments/],
  ])("%j", async (args, message) => {
    const service = await startForTest({ args });
    expect(await service.status()).toBe(2);
    expect(service.output()).toMatch(message);
  });
});
