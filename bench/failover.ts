/**
 * Runs three backends behind one worker under a steady load, and kills and restarts each in turn. The worker's
 * caches are off, so every duplicate travels to a backend. If it finds its caption in that backend's memory, it has
 * come to the one that made it.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as z from "zod";
import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../backend/model/embedded.ts";
import { type BackendProcess, distinct, photograph, startBackend } from "./backend-process.ts";
import { bundleWorker } from "./edge-bundle.ts";
import { runLoad } from "./load.ts";
import { median, percentile, type Report } from "./report.ts";

const BACKENDS = 3;
const PHOTOGRAPHS = 16;
/** The worker leaves a failed backend alone for five seconds. */
const BACK_AGAIN_MS = 6_000;

export const Options = z.object({
  clients: z.coerce.number().int().positive().default(6).describe("Requests at once."),
  seconds: z.coerce
    .number()
    .positive()
    .default(6)
    .describe("Seconds that a backend stays dead, and the same before, between and after."),
  duplicates: z.coerce
    .number()
    .min(0)
    .max(1)
    .default(0.25)
    .describe("Share of requests that send a picture again."),
});

type Phase = "all alive" | "one dead" | "one came back";

interface Sample {
  readonly phase: Phase;
  readonly status: number;
  readonly ms: number;
  readonly duplicate: boolean;
}

export async function run({ clients, seconds, duplicates }: z.infer<typeof Options>): Promise<Report> {
  await openEmbeddedBundle();
  const files = await Promise.all(Array.from({ length: PHOTOGRAPHS }, (_, seed) => photograph(seed)));
  const scratch = await mkdtemp(path.join(tmpdir(), "bench-failover-"));
  const start = (port = "0") => startBackend({ PORT: port, BUNDLE: EMBEDDED_BUNDLE, THREADS: "1" });
  const backends = await Promise.all(Array.from({ length: BACKENDS }, () => start()));
  try {
    const { modules, compatibilityDate } = await bundleWorker("worker/index.ts", {
      config: "wrangler.toml",
      folder: scratch,
    });
    const workerd = new Miniflare(
      convertV4MiniflareOptions({
        modules,
        compatibilityDate,
        bindings: {
          BACKEND_URLS: backends.map(({ url }) => url).join(","),
          ACCESS: "open",
          CACHE_TIERS: "",
          LOG_LEVEL: "error",
        },
        kvNamespaces: { CAPTIONS: "captions", KEYS: "keys" },
      }),
    );
    try {
      const url = new URL("/v1/captions", await workerd.ready);
      let phase: Phase = "all alive";
      const load = startLoad({ url, files, clients, duplicates, phase: () => phase });
      await wait(seconds * 1000);
      const before = await Promise.all(backends.map(countCaptions));
      for (const [index, backend] of backends.entries()) {
        phase = "one dead";
        await backend.kill();
        await wait(seconds * 1000);
        backends[index] = await start(new URL(backend.url).port);
        phase = "one came back";
        await wait(BACK_AGAIN_MS);
        phase = "all alive";
        await wait(seconds * 1000);
      }
      const samples = await load.stop();
      return {
        backends: BACKENDS,
        clients,
        seconds_dead: seconds,
        duplicates_asked: samples.filter(({ duplicate }) => duplicate).length / samples.length,
        phases: Object.fromEntries(
          (["all alive", "one dead", "one came back"] as const).map((name) => [
            name,
            figures(samples.filter((sample) => sample.phase === name)),
          ]),
        ),
        captions_by_backend_before_the_first_death: before.map(({ generated }) => generated).join(" "),
        met_in_a_backends_memory_before_the_first_death: share(before),
      };
    } finally {
      await workerd.dispose();
    }
  } finally {
    await Promise.all(backends.map((backend) => backend.stop()));
    await rm(scratch, { recursive: true, force: true });
  }
}

interface Counts {
  readonly generated: number;
  /** Answered from memory, or joined to the same picture in flight. */
  readonly met: number;
}

async function countCaptions({ url }: BackendProcess): Promise<Counts> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const count = (outcome: string) =>
    Number(
      new RegExp(`^caption_requests_total\\{outcome="${outcome}".*\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0,
    );
  return { generated: count("generated"), met: count("recent") + count("joined") };
}

/**
 * Share of all requests to the backends that they could answer from memory. If duplicates find their backend, it is
 * close to the duplicates' own share.
 */
function share(counts: readonly Counts[]): number {
  const met = counts.reduce((sum, each) => sum + each.met, 0);
  return met / counts.reduce((sum, each) => sum + each.met + each.generated, 0);
}

function startLoad({
  url,
  files,
  clients,
  duplicates,
  phase,
}: {
  url: URL;
  files: readonly Uint8Array[];
  clients: number;
  duplicates: number;
  phase: () => Phase;
}): { stop(): Promise<Sample[]> } {
  const samples: Sample[] = [];
  let running = true;
  let number = 0;
  const all = runLoad({
    clients,
    requests: () => running,
    async ask() {
      const duplicate = number > 0 && Math.random() < duplicates;
      const which = duplicate ? Math.floor(Math.random() * number) : number++;
      const body = distinct(files[which % files.length] as Uint8Array, which);
      const [during, askedAt] = [phase(), performance.now()];
      const status = await fetch(url, { method: "POST", body }).then(
        async (response) => {
          await response.arrayBuffer();
          return response.status;
        },
        () => 0,
      );
      samples.push({ phase: during, status, ms: performance.now() - askedAt, duplicate });
    },
  });
  return {
    async stop() {
      running = false;
      await all;
      return samples;
    },
  };
}

function figures(samples: readonly Sample[]): Report {
  const ms = samples.map((sample) => sample.ms);
  return {
    requests: samples.length,
    failed: samples.filter(({ status }) => status !== 200).length,
    statuses: [...new Set(samples.map(({ status }) => status))].join(" "),
    median_ms: median(ms),
    p99_ms: percentile(ms, 0.99),
    most_ms: percentile(ms, 1),
  };
}

function wait(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
