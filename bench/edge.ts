/**
 * What the edge adds to a bare worker: requests/s, milliseconds and CPU of hits, beside workers that do the least, all in
 * one workerd and in turns. The load comes from this process, so on a small machine CPU a request says more than
 * requests/s.
 */

import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as z from "zod";
import { contentHash } from "../shared/content-hash.ts";
import { bundleWorker, type WorkerBundle } from "./edge-bundle.ts";
import { runLoad } from "./load.ts";
import { median, percentile, type Report } from "./report.ts";

const BARE_CONFIG = "bench/edge-workers/wrangler.toml";
const COMPATIBILITY_DATE = "2026-11-01";
const BODY_BYTES = 100 * 1024;
const CLOCK_TICKS_A_SECOND = 100;
const CAPTION = "a brown dog runs along the beach";

export const Options = z.object({
  connections: z.coerce.number().int().positive().default(16).describe("Requests at once."),
  requests: z.coerce.number().int().positive().default(2_000).describe("Requests of each turn."),
  turns: z.coerce.number().int().positive().default(5).describe("Turns that each case has."),
});

interface Case {
  readonly name: string;
  readonly url: URL;
  readonly request: Buffer;
}

interface Turn {
  readonly perSecond: number;
  readonly ms: readonly number[];
  readonly cpuUs: number | undefined;
}

export async function run({ connections, requests, turns }: z.infer<typeof Options>): Promise<Report> {
  const backend = await startBackend();
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
    const start_up_ms = {
      bare: await startUpMs(bareJson, edgeSettings(backend.url, "memory,colo,kv")),
      edge: await startUpMs(edge, edgeSettings(backend.url, "memory,colo,kv")),
    };
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

function edgeSettings(backendUrl: string, tiers: string) {
  return {
    // Log lines would be measured too: they are written by workerd to this process.
    bindings: { BACKEND_URLS: backendUrl, ACCESS: "open", CACHE_TIERS: tiers, LOG_LEVEL: "warn" },
    kvNamespaces: { CAPTIONS: "captions", KEYS: "keys" },
  };
}

function worker(name: string, { modules }: WorkerBundle, settings: object) {
  const unsafeDirectSockets = [{ host: "127.0.0.1", port: 0 }];
  return { name, modules, compatibilityDate: COMPATIBILITY_DATE, unsafeDirectSockets, ...settings };
}

/** Puts one caption where each case finds it, and writes down each case's request. */
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

function httpRequest(method: string, url: URL, body: Buffer | undefined): Buffer {
  const length = body === undefined ? "" : `content-type: image/png\r\ncontent-length: ${body.length}\r\n`;
  const head = `${method} ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\n${length}\r\n`;
  return Buffer.concat([Buffer.from(head), body ?? Buffer.alloc(0)]);
}

/** Every case in each turn, so that what else the machine does falls on all alike. */
async function measure(
  cases: readonly Case[],
  { connections, requests, turns }: z.infer<typeof Options>,
): Promise<Map<string, Turn[]>> {
  const results = new Map<string, Turn[]>(cases.map(({ name }) => [name, []]));
  for (const one of cases) await load(one, { connections, requests });
  for (let turn = 0; turn < turns; turn++) {
    for (const one of cases) results.get(one.name)?.push(await load(one, { connections, requests }));
  }
  return results;
}

function figures(turns: readonly Turn[]): Report {
  const ms = turns.flatMap((turn) => turn.ms);
  const cpu = turns.flatMap(({ cpuUs }) => cpuUs ?? []);
  return {
    requests_per_second: Math.round(median(turns.map(({ perSecond }) => perSecond))),
    p50_ms: round(percentile(ms, 0.5), 2),
    p99_ms: round(percentile(ms, 0.99), 2),
    server_cpu_us: cpu.length === 0 ? null : Math.round(median(cpu)),
  };
}

/** How near `ours` comes to `least`, each turn against its own: 1 is as good, in requests/s and in CPU. */
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

/** `requests` of one case over `connections`, each waiting for its answer before the next. */
async function load(
  one: Case,
  { connections, requests }: { connections: number; requests: number },
): Promise<Turn> {
  const sockets = Array.from({ length: connections }, () => connect(Number(one.url.port), one.url.hostname));
  const answers = sockets.map(readAnswers);
  const cpuBefore = await workerdCpuSeconds();
  const { seconds, ms } = await runLoad({
    clients: connections,
    requests,
    async ask(_number, client) {
      sockets[client]?.write(one.request);
      const status = (await answers[client]?.next())?.value;
      if (status !== 200) throw new Error(`${one.name} answered ${status}`);
    },
  });
  for (const socket of sockets) socket.destroy();
  const cpuAfter = await workerdCpuSeconds();
  const cpuUs =
    cpuBefore === undefined || cpuAfter === undefined ? undefined : ((cpuAfter - cpuBefore) / requests) * 1e6;
  return { perSecond: requests / seconds, ms, cpuUs };
}

/** Status of each answer on a connection. Far cheaper than an HTTP client, whose cost would hide the server's. */
async function* readAnswers(socket: Socket): AsyncGenerator<number> {
  let pending = Buffer.alloc(0);
  for await (const chunk of socket) {
    pending = Buffer.concat([pending, chunk as Buffer]);
    for (;;) {
      const headEnd = pending.indexOf("\r\n\r\n");
      if (headEnd === -1) break;
      const head = pending.toString("latin1", 0, headEnd);
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (pending.length < headEnd + 4 + length) break;
      pending = pending.subarray(headEnd + 4 + length);
      yield Number(head.slice(9, 12));
    }
  }
}

/** CPU that our workerd has used, on Linux. */
async function workerdCpuSeconds(): Promise<number | undefined> {
  try {
    let ticks = 0;
    for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      const [, name, rest = ""] = /^\d+ \((.*)\) (.*)$/s.exec(stat) ?? [];
      const fields = rest.split(" ");
      if (name === "workerd" && Number(fields[1]) === process.pid)
        ticks += Number(fields[11]) + Number(fields[12]);
    }
    return ticks === 0 ? undefined : ticks / CLOCK_TICKS_A_SECOND;
  } catch {
    return undefined;
  }
}

/** Milliseconds from nothing to the first answer, median of three. */
async function startUpMs(bundled: WorkerBundle, settings: object): Promise<number> {
  const times: number[] = [];
  for (let repeat = 0; repeat < 3; repeat++) {
    const startedAt = performance.now();
    const one = new Miniflare(convertV4MiniflareOptions({ workers: [worker("one", bundled, settings)] }));
    await (await fetch(new URL("/healthz", await one.unsafeGetDirectURL("one")))).text();
    times.push(performance.now() - startedAt);
    await one.dispose();
  }
  return Math.round(median(times));
}

/** A captioner that says the same of everything: hits never reach it. */
async function startBackend(): Promise<{ url: string; close(): void }> {
  const identity = { id: "bench/fake", revision: "r1" };
  const model = {
    ...identity,
    image_size: 224,
    dtype: "fp32",
    limits: { max_image_bytes: 1, max_image_pixels: 1, max_new_tokens: 50, max_num_beams: 8 },
    defaults: { max_new_tokens: 20, num_beams: 1 },
  };
  const headers = {
    "content-type": "application/json",
    "x-model-id": identity.id,
    "x-model-revision": identity.revision,
    "x-caption-score": "0.71",
  };
  const server = createServer((request, response) => {
    request.resume();
    const body = request.url === "/v1/model" ? model : [{ generated_text: CAPTION }];
    response.writeHead(200, headers).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
