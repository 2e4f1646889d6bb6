/** A job through real workerd, its real queue and a real backend, which both may be killed in the middle. */

import { afterEach, expect, test, vi } from "vitest";
import { createCaptionClient } from "../../client/index.ts";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { freePort, startServer } from "../../local/local-server.ts";
import { contentHash } from "../../shared/content-hash.ts";
import { jpegPicture } from "../support/pictures.ts";
import { type RunningBackend, startBackend } from "./edge-support.ts";

/** Slow enough that a job of some hundred items is met in the middle. */
const ANSWER_AFTER_MS = 150;

/** Only what hangs takes as long. */
const PATIENCE_MS = 100_000;

const ended: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

/** A media server whose every path is a picture of its own. */
async function startMedia() {
  const server = await startServer(async (request, response) => {
    const path = request.url ?? "";
    const picture = await jpegPicture(Number(path.slice(1)));
    setTimeout(() => response.end(picture), ANSWER_AFTER_MS);
  });
  ended.push(() => server.close());
  return { host: new URL(server.url).host, url: server.url };
}

const clientOf = (edge: RunningEdge) => createCaptionClient({ baseUrl: edge.url, retries: 0 });

function variablesOf(backend: RunningBackend, mediaHost: string): Record<string, string> {
  return {
    ACCESS: "open",
    BACKEND_URLS: backend.url,
    URL_ALLOWED_HOSTS: mediaHost,
    JOB_LEASE_MS: "3000",
  };
}

test("workerd is killed in the middle of a job: after the restart it goes on, nothing lost, nothing twice", async () => {
  const backend = await startBackend();
  ended.push(() => backend.process.kill());
  const media = await startMedia();
  const variables = variablesOf(backend, media.host);
  const first = await startEdge(variables);
  const items = Array.from({ length: 300 }, (_, i) => ({ url: `${media.url}/${i}`, id: `${i}` }));
  const { id } = await clientOf(first).jobs.create(items);
  await vi.waitFor(
    async () => expect((await clientOf(first).jobs.get(id)).counts.generated).toBeGreaterThan(30),
    { timeout: PATIENCE_MS, interval: 100 },
  );
  await first.kill();

  const second = await startEdge(variables, first.state);
  ended.push(() => second.stop());
  const client = clientOf(second);
  const before = await client.jobs.get(id);
  expect(before.status).toBe("running");
  expect(before.counts.waiting).toBeGreaterThan(0);
  const job = await client.jobs.wait(id);
  expect(job.counts).toMatchObject({ total: 300, waiting: 0, failed: 0, cancelled: 0 });
  expect(job.counts.generated + job.counts.cached).toBe(300);
  const lines = [];
  for await (const line of client.jobs.results(id)) lines.push(line);
  expect(lines.map((line) => line.id)).toEqual(items.map((item) => item.id));
  for (const line of lines.slice(0, 5)) {
    const bytes = await (await fetch(`${media.url}/${line.index}`)).bytes();
    expect(line).toMatchObject({ sha256: await contentHash(bytes as Uint8Array<ArrayBuffer>) });
  }
});

test("a backend that dies in the middle is waited for, and costs no item", async () => {
  // Free still when the next one starts on it.
  const PORT = String(await freePort());
  const backend = await startBackend({ PORT });
  const media = await startMedia();
  const edge = await startEdge(variablesOf(backend, media.host));
  ended.push(() => edge.stop());
  const client = clientOf(edge);
  const items = Array.from({ length: 120 }, (_, i) => ({ url: `${media.url}/${1_000 + i}` }));
  const { id } = await client.jobs.create(items);
  await vi.waitFor(async () => expect((await client.jobs.get(id)).counts.generated).toBeGreaterThan(5), {
    timeout: PATIENCE_MS,
    interval: 50,
  });
  backend.process.kill("SIGKILL");
  await vi.waitFor(async () => expect((await client.jobs.get(id)).paused?.reason).toBe("unavailable"), {
    timeout: PATIENCE_MS,
    interval: 50,
  });
  const again = await startBackend({ PORT });
  ended.push(() => again.process.kill());
  const { counts } = await client.jobs.wait(id);
  expect(counts).toMatchObject({ waiting: 0, failed: 0, cancelled: 0 });
  expect(counts.generated + counts.cached).toBe(120);
});
