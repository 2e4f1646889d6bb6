/**
 * Measures what the edge adds to a bare worker: requests/s, milliseconds and CPU of hits. It is compared with
 * workers that do the least, all in one workerd and in turns. The load comes from this process, so on a small
 * machine CPU per request says more than requests/s.
 */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as z from "zod";
import { contentHash } from "../shared/content-hash.ts";
import { bundleWorker, type WorkerBundle } from "./edge-bundle.ts";
import {
  type Case,
  edgeSettings,
  figures,
  httpRequest,
  load,
  round,
  startCaptioner,
  type Turn,
  worker,
} from "./edge-parts.ts";
import { median, type Report } from "./report.ts";

const BARE_CONFIG = "bench/edge-workers/wrangler.toml";
const BODY_BYTES = 100 * 1024;
const STARTS = 15;
export const Options = z.object({
  connections: z.coerce.number().int().positive().default(16).describe("Requests at once."),
  requests: z.coerce.number().int().positive().default(2_000).describe("Requests of each turn."),
  turns: z.coerce.number().int().positive().default(5).describe("Turns that each case has."),
});

export async function run({ connections, requests, turns }: z.infer<typeof Options>): Promise<Report> {
  const backend = await startCaptioner();
  const scratch = await mkdtemp(path.join(tmpdir(), "bench-edge-"));
  try {
    const edge = await bundleWorker("worker/index.ts", {
      config: "wrangler.toml",
      folder: path.join(scratch, "edge"),
    });
    const bareJson = await bundleWorker("bench/edge-workers/bare-json.ts", {
      config: BARE_CONFIG,
      folder: path.join(scratch, "json"),
    });
    const bareHash = await bundleWorker("bench/edge-workers/bare-hash.ts", {
      config: BARE_CONFIG,
      folder: path.join(scratch, "hash"),
    });
    const start_up_ms = await startUpMs(
      { bare: bareJson, edge },
      edgeSettings(backend.url, "memory,colo,kv"),
    );
    const workerd = new Miniflare(
      convertV4MiniflareOptions({
        workers: [
          worker("edge", edge, edgeSettings(backend.url, "memory,colo,kv")),
          worker("edge-kv", edge, edgeSettings(backend.url, "kv")),
          worker("bare-json", bareJson, {}),
          worker("bare-hash", bareHash, { kvNamespaces: { CAPTIONS: "captions" } }),
        ],
      }),
    );
    try {
      await workerd.ready;
      const cases = await prepare(workerd);
      const measured = await measure(cases, { connections, requests, turns });
      const of = (name: string) => measured.get(name) ?? [];
      return {
        connections,
        requests_a_turn: requests,
        turns,
        body_bytes: BODY_BYTES,
        cases: Object.fromEntries(Array.from(measured, ([name, taken]) => [name, figures(taken)])),
        b_to_a: nearness(of("b_get_hit_memory"), of("a_bare_json")),
        e_to_d: nearness(of("e_post_hit"), of("d_bare_hash_and_kv")),
        bundle: { kib: edge.kib, gzipped_kib: edge.gzippedKib },
        start_up_ms,
      };
    } finally {
      await workerd.dispose();
    }
  } finally {
    backend.close();
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Puts one caption where each case finds it, and returns each case's request. */
async function prepare(workerd: Miniflare): Promise<Case[]> {
  const picture = Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), randomBytes(BODY_BYTES - 8)]);
  const sha256 = await contentHash(Uint8Array.from(picture));
  const urlOf = async (name: string, route: string) => new URL(route, await workerd.unsafeGetDirectURL(name));
  const get = `/v1/captions/${sha256}`;
  for (const name of ["edge", "edge-kv"]) {
    const made = await fetch(await urlOf(name, "/v1/captions"), { method: "POST", body: picture });
    if (!made.ok) throw new Error(`${name} did not caption: ${await made.text()}`);
  }
  const kv = await workerd.getKVNamespace("CAPTIONS", "bare-hash");
  await kv.put(`bare/${sha256}`, await (await fetch(await urlOf("edge", get))).text());
  return [
    { name: "a_bare_json", url: await urlOf("bare-json", get), method: "GET" },
    { name: "b_get_hit_memory", url: await urlOf("edge", get), method: "GET" },
    { name: "c_get_hit_kv", url: await urlOf("edge-kv", get), method: "GET" },
    { name: "d_bare_hash_and_kv", url: await urlOf("bare-hash", "/v1/captions"), method: "POST" },
    { name: "e_post_hit", url: await urlOf("edge", "/v1/captions"), method: "POST" },
    { name: "f_post_hit_kv", url: await urlOf("edge-kv", "/v1/captions"), method: "POST" },
  ].map(({ name, url, method }) => ({
    name,
    url,
    request: httpRequest(method, url, method === "POST" ? picture : undefined),
  }));
}

/**
 * Runs every case in each turn, so that other load on the machine affects all alike. Every other turn runs
 * backwards, because the order of the cases makes a difference of a few hundredths.
 */
async function measure(
  cases: readonly Case[],
  { connections, requests, turns }: z.infer<typeof Options>,
): Promise<Map<string, Turn[]>> {
  const results = new Map<string, Turn[]>(cases.map(({ name }) => [name, []]));
  for (const one of cases) await load(one, { connections, requests });
  for (let turn = 0; turn < turns; turn++) {
    for (const one of turn % 2 === 0 ? cases : cases.toReversed()) {
      results.get(one.name)?.push(await load(one, { connections, requests }));
    }
  }
  return results;
}

/** How close `ours` comes to `least`, comparing each pair of turns; 1 means as good, in requests/s and in CPU. */
function nearness(ours: readonly Turn[], least: readonly Turn[]): Report {
  const pairs = ours.flatMap((turn, index) => {
    const other = least[index];
    return other === undefined ? [] : [[turn, other] as const];
  });
  const cpu = pairs.flatMap(([turn, other]) => (turn.cpuUs && other.cpuUs ? other.cpuUs / turn.cpuUs : []));
  return {
    requests_per_second: round(median(pairs.map(([turn, other]) => turn.perSecond / other.perSecond)), 2),
    server_cpu: cpu.length === 0 ? null : round(median(cpu), 2),
  };
}

/** Milliseconds from starting to the first answer: the median of starts in turns. */
async function startUpMs(workers: Readonly<Record<string, WorkerBundle>>, settings: object): Promise<Report> {
  const times = new Map<string, number[]>();
  for (let turn = 0; turn < STARTS; turn++) {
    for (const [name, bundled] of Object.entries(workers)) {
      const startedAt = performance.now();
      const one = new Miniflare(convertV4MiniflareOptions({ workers: [worker("one", bundled, settings)] }));
      await (await fetch(new URL("/healthz", await one.unsafeGetDirectURL("one")))).text();
      times.set(name, [...(times.get(name) ?? []), performance.now() - startedAt]);
      await one.dispose();
    }
  }
  return Object.fromEntries(Array.from(times, ([name, taken]) => [name, Math.round(median(taken))]));
}
