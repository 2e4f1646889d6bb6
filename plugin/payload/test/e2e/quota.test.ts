/** A key's quota of the day is used up, at the real worker: uploads go on, say why they wait, and get their text the day after. */

import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type RunningEdge, startEdge } from "../../../../local/edge.ts";
import { startSite, type TestSite } from "../site.ts";
import { type RealApi, startRealApi } from "./real-api.ts";

const QUOTA = 2;

let api: RealApi;
let tomorrow: RunningEdge | undefined;
const sites: TestSite[] = [];
beforeAll(async () => {
  api = await startRealApi();
});
afterEach(() => vi.useRealTimers());
afterAll(async () => {
  for (const { payload } of sites) await payload.destroy();
  await tomorrow?.stop();
  await api?.stop();
});

async function site(endpoint: string, apiKey: string, existing?: string): Promise<TestSite> {
  const started = await startSite({ endpoint, apiKey, inlineTimeoutMs: 30_000 }, {}, {}, existing);
  sites.push(started);
  return started;
}

async function waitingJobs({ payload }: TestSite) {
  const { docs } = await payload.find({ collection: "payload-jobs" as never, overrideAccess: true });
  return docs as unknown as { waitUntil: string; input: { id: string } }[];
}

test("the upload goes through, says why it waits, and is described after the quota's reset", async () => {
  const apiKey = await api.newKey({ dailyQuota: QUOTA });
  const today = await site(api.edge.url, apiKey);
  const first = await today.upload();
  expect(first).toMatchObject({ altSource: "generated" });
  expect(await today.upload()).toMatchObject({ altSource: "generated" });

  const { id, ...late } = await today.upload();
  expect(late).toMatchObject({
    altState: "pending",
    altReason: "The caption API's daily quota is used up.",
  });
  expect(late.alt ?? "").toBe("");
  const midnight = new Date().setUTCHours(24, 0, 0, 0);
  await today.runJobs();
  const [job, ...others] = await waitingJobs(today);
  expect(others).toEqual([]);
  expect(job?.input).toMatchObject({ id: String(id), attempt: 1 });
  const waitUntil = Date.parse(job?.waitUntil ?? "");
  expect(Math.abs(waitUntil - midnight)).toBeLessThan(60_000);

  // A picture that is known costs no quota.
  const file = path.join(today.folder, "media", String(first.filename));
  const again = await today.upload({}, { file: { data: await readFile(file), name: "again.png" } });
  await today.runJobs();
  expect(await today.read(again.id)).toMatchObject({
    alt: first.alt,
    altSource: "generated",
    altReason: null,
  });
  // Nobody asks for the other one before its time.
  expect(await waitingJobs(today)).toEqual([job]);
  expect(await today.read(id)).toMatchObject({ altState: "pending" });

  // A new day: the clock here is put forward, the worker starts with a counter that has counted nothing.
  await api.edge.kill();
  await rm(path.join(api.edge.state, "v3/do/alt-text-edge-QuotaCounter"), { recursive: true });
  tomorrow = await startEdge(api.variables, api.edge.state);
  const later = await site(tomorrow.url, apiKey, today.folder);
  vi.useFakeTimers({ toFake: ["Date"], now: waitUntil + 1000 });
  await later.runJobs();
  expect(await later.read(id)).toMatchObject({
    alt: expect.stringMatching(/./),
    altSource: "generated",
    altReason: null,
  });
  expect(await waitingJobs(later)).toEqual([]);
});
