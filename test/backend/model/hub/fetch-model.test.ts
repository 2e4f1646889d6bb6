import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { readFile, realpath, stat, truncate, unlink } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { buildBundle } from "../../../../backend/model/build.ts";
import { type FetchModelOptions, fetchModel } from "../../../../backend/model/hub/fetch-model.ts";
import { HubError } from "../../../../backend/model/hub/hub-error.ts";
import { COMMIT, type HubServer, startHubServer } from "../../../support/hub-server.ts";
import { TINY_ADAPTER, TINY_BASE, temporaryFolder } from "../../../support/tiny-blip.ts";

const WEIGHTS = "model.safetensors";

function filesOf(folder: string): Record<string, Buffer> {
  return Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
}

async function tinyHub(): Promise<HubServer> {
  return startHubServer({
    ...filesOf(TINY_BASE.folder),
    "README.md": Buffer.from("# a card"),
    "pytorch_model.bin": Buffer.from("not wanted"),
  });
}

async function fetchFrom(
  hub: HubServer,
  change: Partial<FetchModelOptions> & { cache?: string; token?: string; offline?: boolean } = {},
) {
  const { cache = await temporaryFolder(), token, offline = false, ...options } = change;
  return fetchModel({
    repository: { id: "tests/model", revision: "main" },
    role: "base",
    config: { endpoint: hub.url, token, cache, offline },
    onProgress: () => {},
    ...options,
  });
}

describe("fetchModel", () => {
  test("fetches only what a bundle needs, into the layout that Hugging Face tools share", async () => {
    const hub = await tinyHub();
    const cache = await temporaryFolder();
    const { folder } = await fetchFrom(hub, { cache });
    expect(folder).toBe(join(cache, "models--tests--model", "snapshots", COMMIT));
    expect(readdirSync(folder).sort()).toEqual(
      ["config.json", WEIGHTS, "preprocessor_config.json", "vocab.txt"].sort(),
    );
    expect(readFileSync(join(folder, WEIGHTS)).equals(hub.files.get(WEIGHTS) as Buffer)).toBe(true);
    expect(await readFile(join(cache, "models--tests--model/refs/main"), "utf8")).toBe(COMMIT);
  });

  test("a cached file that has lost its bytes is fetched again", async () => {
    const hub = await tinyHub();
    const cache = await temporaryFolder();
    const { folder } = await fetchFrom(hub, { cache });
    await truncate(join(folder, WEIGHTS));
    hub.reads.length = 0;
    await fetchFrom(hub, { cache });
    expect(hub.reads).toEqual([{ path: WEIGHTS, from: 0 }]);
    expect(readFileSync(join(folder, WEIGHTS)).equals(hub.files.get(WEIGHTS) as Buffer)).toBe(true);
  });

  test("a fetched base and adapter can be built", async () => {
    const base = await fetchFrom(await tinyHub());
    const adapter = await fetchFrom(await startHubServer(filesOf(TINY_ADAPTER.folder)), { role: "adapter" });
    const out = join(await temporaryFolder(), "bundle");
    const fetched = await buildBundle({ base, adapter, dtypes: ["fp32"], out });
    const local = await buildBundle({ base: TINY_BASE, adapter: TINY_ADAPTER, dtypes: ["fp32"], out });
    expect(fetched.revision).toBe(local.revision);
  });

  test("a model as transformers 5 saves it builds the same bundle", async () => {
    const saved = fileURLToPath(new URL("../../../fixtures/tiny-blip/transformers-5", import.meta.url));
    const weights = { [WEIGHTS]: readFileSync(join(TINY_BASE.folder, WEIGHTS)) };
    const base = await fetchFrom(await startHubServer({ ...filesOf(saved), ...weights }));
    const out = join(await temporaryFolder(), "bundle");
    const fetched = await buildBundle({ base, dtypes: ["fp32"], out });
    expect(fetched.revision).toBe((await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out })).revision);
  });

  test("fetches nothing twice", async () => {
    const hub = await tinyHub();
    const cache = await temporaryFolder();
    await fetchFrom(hub, { cache });
    const before = hub.reads.length;
    await fetchFrom(hub, { cache, repository: { id: "tests/model", revision: COMMIT } });
    expect(hub.reads.length).toBe(before);
  });

  test("offline takes what the cache holds, by branch and by commit, and asks nobody", async () => {
    const hub = await tinyHub();
    const cache = await temporaryFolder();
    const fetched = await fetchFrom(hub, { cache });
    const nobody = { ...hub, url: "http://127.0.0.1:1" };
    for (const revision of ["main", COMMIT]) {
      const repository = { id: "tests/model", revision };
      expect(await fetchFrom(nobody, { cache, offline: true, repository })).toEqual(fetched);
    }
    const missing = { cache, offline: true, repository: { id: "tests/model", revision: "v2" } };
    await expect(fetchFrom(nobody, missing)).rejects.toThrow(/v2 is not in the cache. HF_HUB_OFFLINE is set/);
    await unlink(await realpath(join(fetched.folder, WEIGHTS)));
    await expect(fetchFrom(nobody, { cache, offline: true })).rejects.toThrow(
      /incomplete in the cache.*\n.*has no model.safetensors/,
    );
  });

  test("several downloads into one cache at the same time are all complete", async () => {
    const hub = await tinyHub();
    const cache = await temporaryFolder();
    const fetched = await Promise.all([1, 2, 3].map(() => fetchFrom(hub, { cache })));
    for (const { folder } of fetched) {
      expect(await readFile(join(folder, WEIGHTS))).toEqual(hub.files.get(WEIGHTS));
    }
    expect(readdirSync(join(cache, "models--tests--model/blobs")).join()).not.toContain("incomplete");
  });

  test("reports bytes until all are there", async () => {
    const hub = await tinyHub();
    const seen: [number, number][] = [];
    await fetchFrom(hub, { onProgress: (done, total) => seen.push([done, total]) });
    const wanted = ["config.json", WEIGHTS, "preprocessor_config.json", "vocab.txt"];
    const total = wanted.reduce((sum, name) => sum + (hub.files.get(name)?.length ?? 0), 0);
    expect(seen.at(-1)).toEqual([total, total]);
  });

  test("a broken connection is resumed where it stopped", async () => {
    const hub = await tinyHub();
    hub.mishaps.set(WEIGHTS, [{ kind: "break-off", afterBytes: 50_000 }]);
    const { folder } = await fetchFrom(hub);
    expect(readFileSync(join(folder, WEIGHTS)).equals(hub.files.get(WEIGHTS) as Buffer)).toBe(true);
    const starts = hub.reads.filter(({ path }) => path === WEIGHTS).map(({ from }) => from);
    expect(starts[0]).toBe(0);
    expect(starts[1]).toBeGreaterThan(0);
  });

  test("the next run resumes one that was given up", async () => {
    const hub = await tinyHub();
    const cache = await temporaryFolder();
    const breaks = Array.from({ length: 4 }, () => ({ kind: "break-off", afterBytes: 0 }) as const);
    hub.mishaps.set(WEIGHTS, [{ kind: "break-off", afterBytes: 60_000 }, ...breaks]);
    await expect(fetchFrom(hub, { cache })).rejects.toThrow(/run the same command to go on/);
    const before = hub.reads.length;
    await fetchFrom(hub, { cache });
    const next = hub.reads.slice(before);
    expect(next.map(({ path }) => path)).toEqual(next.map(() => WEIGHTS));
    expect(next[0]?.from).toBeGreaterThan(0);
  });

  test("it pauses when the hub asks for that", async () => {
    const hub = await tinyHub();
    hub.mishaps.set(WEIGHTS, [{ kind: "status", status: 429, headers: { "retry-after": "1" } }]);
    const { folder } = await fetchFrom(hub);
    expect((await stat(join(folder, WEIGHTS))).size).toBe(hub.files.get(WEIGHTS)?.length);
  });

  test("a pause may be a date, and is reported in seconds if it does not end", async () => {
    const hub = await tinyHub();
    const headers = { "retry-after": "Wed, 01 Jan 2020 00:00:00 GMT" };
    const busy = Array.from({ length: 9 }, () => ({ kind: "status", status: 429, headers }) as const);
    hub.mishaps.set(WEIGHTS, busy);
    await expect(fetchFrom(hub)).rejects.toThrow(/limits requests \(429\)\. Try again in 1 s\./);
  });

  test("wrong bytes are thrown away, with the checksums named", async () => {
    const hub = await tinyHub();
    const cache = await temporaryFolder();
    hub.mishaps.set(WEIGHTS, [{ kind: "other-bytes" }]);
    await expect(fetchFrom(hub, { cache })).rejects.toThrow(
      /model\.safetensors came with the wrong checksum/,
    );
    await fetchFrom(hub, { cache });
  });

  test("no more bytes are written than the hub announced, however many come", async () => {
    const hub = await tinyHub();
    hub.mishaps.set(WEIGHTS, [{ kind: "too-many-bytes", bytes: 64 * 1024 * 1024 }]);
    const reported: [done: number, total: number][] = [];
    const { folder } = await fetchFrom(hub, { onProgress: (...report) => reported.push(report) });
    expect(reported.filter(([done, total]) => done > total)).toEqual([]);
    expect(readFileSync(join(folder, WEIGHTS)).equals(hub.files.get(WEIGHTS) as Buffer)).toBe(true);
  });

  test("a private model without and with a token", async () => {
    const hub = await tinyHub();
    hub.token = "hf_secret";
    await expect(fetchFrom(hub)).rejects.toThrow(/set HF_TOKEN/);
    await expect(fetchFrom(hub, { token: "hf_wrong" })).rejects.toThrow(/cannot be read with this HF_TOKEN/);
    await fetchFrom(hub, { token: "hf_secret" });
    hub.token = "eyJ2.of-a-mirror";
    await fetchFrom(hub, { token: "eyJ2.of-a-mirror" });
  });

  test("a model or revision that does not exist", async () => {
    const hub = await tinyHub();
    const repository = { id: "tests/model", revision: "v9" };
    await expect(fetchFrom(hub, { repository })).rejects.toThrow(/no tests\/model at revision v9/);
  });

  test("pickled weights only: refused with the way out", async () => {
    const hub = await tinyHub();
    hub.files.delete(WEIGHTS);
    await expect(fetchFrom(hub)).rejects.toThrow(/pickled .bin file.*safe_serialization/);
    expect(hub.reads).toEqual([]);
  });

  test("too little room on the disk is reported before anything is fetched", async () => {
    const hub = await tinyHub();
    await expect(fetchFrom(hub, { freeBytes: async () => 1000 })).rejects.toThrow(/needs 1 MB.*HF_HOME/);
    expect(hub.reads).toEqual([]);
  });

  test("a hub that cannot be reached", async () => {
    const hub = { ...(await tinyHub()), url: "http://127.0.0.1:9" };
    await expect(fetchFrom(hub)).rejects.toThrow(/cannot be reached/);
  });

  test.each([
    ["a commit that climbs out of its folder", { sha: "../../../elsewhere" }],
    ["a digest that climbs out of its folder", { oid: "../../../../private.txt" }],
    ["a digest of another length", { oid: "ab".repeat(19) }],
  ])("a forged hub is refused: %s", async (_what, forgery) => {
    const hub = await tinyHub();
    Object.assign(hub.forged, forgery);
    const cache = await temporaryFolder();
    await expect(fetchFrom(hub, { cache })).rejects.toThrow(HubError);
    expect(readdirSync(cache)).toEqual([]);
  });

  test("the token is sent to the hub alone, even if a listing goes on elsewhere", async () => {
    const hub = await tinyHub();
    hub.token = "hf_secret";
    const heard: (string | undefined)[] = [];
    const elsewhere = createServer((request, response) => {
      heard.push(request.headers.authorization);
      response.setHeader("content-type", "application/json").end("[]");
    });
    elsewhere.listen(0, "127.0.0.1");
    await once(elsewhere, "listening");
    onTestFinished(() => void elsewhere.close());
    hub.forged.next = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/next`;
    await fetchFrom(hub, { token: "hf_secret" });
    expect(heard).toEqual([undefined]);
  });

  test("a listing that never ends is given up", async () => {
    const hub = await tinyHub();
    hub.forged.next = `${hub.url}/api/models/tests/model/tree/${COMMIT}`;
    await expect(fetchFrom(hub)).rejects.toThrow("lists files without end: it is not a hub");
  });
});
