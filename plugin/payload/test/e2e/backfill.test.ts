/** A library that is there already, described through the real API and its jobs, with a backfill that is killed in its middle. */

import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { createCaptionClient } from "alt-text-edge-client";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { freePort } from "../../../../local/local-server.ts";
import { backfill } from "../../src/backfill.ts";
import { picture } from "../picture.ts";
import { startSite, type TestSite } from "../site.ts";
import { type RealApi, startRealApi } from "./real-api.ts";

const PICTURES = 120;
const PERSON = "Words of a person";

let api: RealApi;
let apiKey: string;
let site: TestSite;
/** What the site's own file server was asked for. */
let fetched: string[];
/** What it answers instead of a file. */
let instead: Map<string, Buffer | undefined>;
let onFetch: (name: string) => void;
let stopFiles: () => void;
let serverURL: string;

beforeAll(async () => {
  const port = await freePort();
  fetched = [];
  instead = new Map();
  const files = createServer(async (request, response) => {
    const name = decodeURIComponent(path.basename(request.url ?? ""));
    fetched.push(name);
    onFetch(name);
    const bytes = instead.has(name)
      ? instead.get(name)
      : await readFile(path.join(site.folder, "media", name));
    if (bytes === undefined) response.writeHead(404).end();
    else response.end(bytes);
  }).listen(port, "127.0.0.1");
  stopFiles = () => {
    files.closeAllConnections();
    files.close();
  };
  api = await startRealApi({ URL_ALLOWED_HOSTS: `127.0.0.1:${port}` });
  apiKey = await api.newKey();
  serverURL = `http://127.0.0.1:${port}`;
});
afterAll(async () => {
  stopFiles?.();
  await api?.stop();
});

let ids: number[];
let before: number;
beforeEach(async () => {
  fetched.length = 0;
  instead.clear();
  onFetch = () => {};
  site = await startSite({ endpoint: api.edge.url, apiKey, inlineTimeoutMs: 0 }, {}, { serverURL });
  ids = [];
  for (let n = 0; n < PICTURES; n++) ids.push((await site.upload()).id);
  await site.payload.delete({ collection: "payload-jobs" as never, where: { id: { exists: true } } });
  before = await api.generated();
});
afterEach(() => site?.stop());

async function storedFile(id: number): Promise<Uint8Array<ArrayBuffer>> {
  const { filename } = await site.read(id);
  return new Uint8Array(await readFile(path.join(site.folder, "media", String(filename))));
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const client = () => createCaptionClient({ baseUrl: api.edge.url, apiKey });

async function textsOf(): Promise<Map<number, string>> {
  const { docs } = await site.payload.find({ collection: "media" as never, pagination: false, depth: 0 });
  return new Map((docs as unknown as { id: number; alt?: string }[]).map(({ id, alt }) => [id, alt ?? ""]));
}
const described = async () => [...(await textsOf()).values()].filter((alt) => alt !== "").length;

/** Runs a backfill in a process of its own until `isEnough`, and kills it. */
async function killWhen(isByAddress: boolean, isEnough: () => Promise<boolean>): Promise<string[]> {
  const options = { endpoint: api.edge.url, apiKey, serverURL, isByAddress };
  const worker = fork(
    new URL("../backfill-process.ts", import.meta.url),
    [site.folder, JSON.stringify(options)],
    {
      execArgv: [],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    },
  );
  const lines: string[] = [];
  worker.on("message", (line) => lines.push(String(line)));
  const died = once(worker, "exit");
  while (!(await isEnough())) {
    if (worker.exitCode !== null) throw new Error(`It ended by itself:\n${lines.join("\n")}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
  worker.kill("SIGKILL");
  expect(await died).toEqual([null, "SIGKILL"]);
  return lines;
}

async function run(options: { isDryRun?: boolean; isByAddress?: boolean } = {}) {
  const lines: string[] = [];
  const summary = await backfill(site.payload, {
    isDryRun: false,
    ...options,
    print: (line) => lines.push(line),
  });
  return { summary, lines };
}

test("known pictures are described by a job of hashes, the rest are sent; a kill in the middle loses and repeats nothing", async () => {
  const known = ids.slice(0, 40);
  for (const id of known) await client().caption(await storedFile(id));
  const dry = await run({ isDryRun: true });
  expect(dry.lines).toEqual([
    `media: ${PICTURES} without alt text, nothing is written`,
    expect.stringContaining("asked for by hash first"),
    `Would be described ${PICTURES}, cached 0, skipped 0, failed 0`,
  ]);
  expect(await described()).toBe(0);

  const last = ids.at(-1) as number;
  const lines = await killWhen(false, async () => (await described()) >= known.length + 8);
  expect(lines).toContain("media: 40 known by hash, 80 not");
  expect(await described()).toBeLessThan(PICTURES);
  await site.update(last, { alt: PERSON });

  const { summary } = await run();
  expect(summary.failed).toBe(0);
  const texts = await textsOf();
  expect([...texts.values()].filter((alt) => alt === "")).toEqual([]);
  expect(texts.get(last)).toBe(PERSON);
  // Each picture but that person's, once.
  expect((await api.generated()) - before).toBe(PICTURES - 1);
  expect((await run()).lines[0]).toBe("media: 0 without alt text");
});

test("with addresses the API fetches what it does not know; the next run waits for the job that a kill has left behind", async () => {
  const [other, gone, last] = [ids[3], ids[4], ids.at(-1)] as [number, number, number];
  const nameOf = async (id: number) => String((await site.read(id)).filename);
  instead.set(await nameOf(other), Buffer.from(await storedFile(ids[5] as number)));
  instead.set(await nameOf(gone), undefined);

  await killWhen(true, async () => (await api.generated()) - before > 10);
  expect(await described()).toBe(0);
  await site.update(last, { alt: PERSON });
  const { summary, lines } = await run({ isByAddress: true });
  expect(lines).toContain("media: waiting for the job that the last backfill left");
  expect(summary.failed).toBe(0);
  const texts = await textsOf();
  expect([...texts.values()].filter((alt) => alt === "")).toEqual([]);
  expect(texts.get(last)).toBe(PERSON);
  // An address that gives another picture describes nothing: the stored one was sent.
  const answer = await client().find(sha256(await storedFile(other)));
  expect(texts.get(other)).toBe(answer?.alt);
  expect((await api.generated()) - before).toBe(PICTURES);
  const times = new Map<string, number>();
  for (const name of fetched) times.set(name, (times.get(name) ?? 0) + 1);
  const often = [...times].filter(([, count]) => count > 1).map(([name]) => name);
  expect(often.sort()).toEqual([await nameOf(other), await nameOf(gone)].sort());
});

test("a file that is replaced while the job runs does not get the text of the old one", async () => {
  const [id] = ids as [number];
  const old = String((await site.read(id)).filename);
  let replaced: Promise<unknown> | undefined;
  onFetch = (name) => {
    if (name === old) replaced ??= picture(80).then((data) => site.update(id, {}, { file: { data } }));
  };
  const { summary } = await run({ isByAddress: true });
  await replaced;
  expect(summary).toEqual({ generated: PICTURES - 1, cached: 0, skipped: 1, failed: 0 });
  expect(await site.read(id)).toMatchObject({ alt: "", altState: "pending" });
  await site.runJobs();
  expect(await site.read(id)).toMatchObject({ alt: expect.stringMatching(/./), altSource: "generated" });
});

test("with a key that may not make jobs, pictures are requested one by one, which is reported once", async () => {
  const weak = await api.newKey({ scopes: "read,caption" });
  const other = await startSite(
    { endpoint: api.edge.url, apiKey: weak, inlineTimeoutMs: 0 },
    {},
    { serverURL },
    site.folder,
  );
  const lines: string[] = [];
  const options = { isDryRun: false, isByAddress: true, print: (line: string) => lines.push(line) };
  const summary = await backfill(other.payload, options);
  await other.payload.destroy();
  expect(lines.filter((line) => line.includes("one by one"))).toEqual([
    'media: The site\'s key lacks the scope "jobs". Pictures are asked for one by one.',
  ]);
  expect(summary).toEqual({ generated: PICTURES, cached: 0, skipped: 0, failed: 0 });
  expect(fetched).toEqual([]);
});
