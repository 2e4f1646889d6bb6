/** What the edge's measurements share: bundled workers in one workerd, a captioner that costs nothing, and the load. */

import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import type { WorkerBundle } from "./edge-bundle.ts";
import { runLoad } from "./load.ts";
import { median, percentile, type Report } from "./report.ts";

const CLOCK_TICKS_A_SECOND = 100;
const CAPTION = "a brown dog runs along the beach";

export interface Case {
  readonly name: string;
  readonly url: URL;
  readonly request: Buffer | (() => Buffer);
}

export interface Turn {
  readonly perSecond: number;
  readonly ms: readonly number[];
  readonly cpuUs: number | undefined;
}

/** Variables and stores of the edge. @param tiers in the form of CACHE_TIERS */
export function edgeSettings(backendUrl: string, tiers: string) {
  return {
    // Log lines would be measured too, because workerd writes them to this process.
    bindings: { BACKEND_URLS: backendUrl, ACCESS: "open", CACHE_TIERS: tiers, LOG_LEVEL: "warn" },
    kvNamespaces: { CAPTIONS: "captions", KEYS: "keys" },
  };
}

/** A bundled worker in the form that Miniflare takes, with a socket of its own. */
export function worker(name: string, { modules, compatibilityDate }: WorkerBundle, settings: object) {
  const unsafeDirectSockets = [{ host: "127.0.0.1", port: 0 }];
  return { name, modules, compatibilityDate, unsafeDirectSockets, ...settings };
}

/** A request as it is sent over the wire; any body is declared to be a PNG. */
export function httpRequest(method: string, url: URL, body: Buffer | undefined): Buffer {
  const length = body === undefined ? "" : `content-type: image/png\r\ncontent-length: ${body.length}\r\n`;
  const head = `${method} ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\n${length}\r\n`;
  return Buffer.concat([Buffer.from(head), body ?? Buffer.alloc(0)]);
}

/** Figures reported for a case: the median of its turns, and percentiles over all requests. */
export function figures(turns: readonly Turn[]): Report {
  const ms = turns.flatMap((turn) => turn.ms);
  const cpu = turns.flatMap(({ cpuUs }) => cpuUs ?? []);
  return {
    requests_per_second: Math.round(median(turns.map(({ perSecond }) => perSecond))),
    p50_ms: round(percentile(ms, 0.5), 2),
    p99_ms: round(percentile(ms, 0.99), 2),
    server_cpu_us: cpu.length === 0 ? null : Math.round(median(cpu)),
  };
}

/**
 * Sends `requests` requests of one case over `connections` connections, each of which waits for its answer before
 * the next.
 */
export async function load(
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
      sockets[client]?.write(typeof one.request === "function" ? one.request() : one.request);
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

/** The status of each answer on a connection. Much cheaper than an HTTP client, whose cost would hide the server's. */
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

/** CPU time that our workerd has used; Linux only. */
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

/** A captioner that gives the same answer to everything; hits never reach it. */
export async function startCaptioner(): Promise<{ url: string; close(): void }> {
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

/** Rounds to this many decimal digits, for a report. */
export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
