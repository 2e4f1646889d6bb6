/**
 * Measures what a job adds to the engine. Items per second are compared with the bare engine in turns; they come
 * from addresses of a local media server through real workerd, queue and backend. It also measures the memory of
 * the worker and of workerd, and how long single requests wait with and without a job. Here workerd holds more than
 * the worker: the simulated queue, KV, caches and objects.
 */

import { createServer } from "node:http";
import { availableParallelism } from "node:os";
import * as z from "zod";
import { openBundle } from "../backend/bundle/bundle.ts";
import { createOnnxEngine } from "../backend/engines/onnx/engine.ts";
import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../backend/model/embedded.ts";
import { createCaptionClient } from "../client/index.ts";
import { startEdge } from "../local/edge.ts";
import { distinct, photograph, startBackend } from "./backend-process.ts";
import { decode, perSecond, runEngine } from "./bare-engine.ts";
import { runLoad } from "./load.ts";
import { bundleFolder, mostTokens } from "./options.ts";
import { median, percentile, type Report } from "./report.ts";
import { sampleMemory } from "./worker-memory.ts";

const THREADS = availableParallelism();
const PICTURES = 64;
const BATCH = 8;

export const Options = z.object({
  bundle: bundleFolder,
  items: z.coerce.number().int().positive().max(10_000).default(1_000).describe("Of each job."),
  turns: z.coerce.number().int().positive().default(3).describe("Of engine and job, one after the other."),
  singles: z.coerce.number().int().positive().default(200).describe("Single requests before the job."),
  tokens: mostTokens,
});

export async function run(options: z.infer<typeof Options>): Promise<Report> {
  const { bundle: folder, items, turns, singles, tokens } = options;
  const bundle = folder === undefined ? await openEmbeddedBundle() : await openBundle(folder);
  const { size, resampling: filter } = bundle.manifest.image;
  const files = await Promise.all(Array.from({ length: PICTURES }, (_, seed) => photograph(seed)));
  const pixels = await Promise.all(files.map((file) => decode(file, { size, filter })));
  const media = await startMedia(files);
  const backend = await startBackend({ BUNDLE: folder ?? EMBEDDED_BUNDLE, REQUEST_TIMEOUT_MS: "600000" });
  const edge = await startEdge({
    ACCESS: "open",
    BACKEND_URLS: backend.url,
    URL_ALLOWED_HOSTS: new URL(media.url).host,
    LOG_LEVEL: "error",
  });
  const engine = await createOnnxEngine({ bundle, device: "cpu", threads: THREADS, maxBatchSize: BATCH });
  const client = createCaptionClient({ baseUrl: edge.url });
  let made = 0;

  async function runJob(count: number): Promise<number> {
    const urls = Array.from({ length: count }, () => ({ url: `${media.url}/${made++}` }));
    const startedAt = performance.now();
    const { id } = await client.jobs.create(urls, { max_new_tokens: tokens });
    const { counts } = await client.jobs.wait(id);
    if (counts.generated + counts.cached !== count)
      throw new Error(`Not all done: ${JSON.stringify(counts)}`);
    return count / ((performance.now() - startedAt) / 1000);
  }

  const askOnce = async () => {
    const picture = distinct(files[made % PICTURES] as Uint8Array, made++);
    await client.caption(picture, { max_new_tokens: tokens });
  };

  try {
    const decoding = { maxNewTokens: tokens, numBeams: 1, promptIds: [] };
    await runEngine(engine, pixels, decoding, { count: BATCH, batch: BATCH });
    await runJob(Math.min(PICTURES, items));
    const rates = { engine: [] as number[], job: [] as number[] };
    const memory = await sampleMemory(edge);
    for (let turn = 0; turn < turns; turn++) {
      rates.engine.push(
        perSecond(await runEngine(engine, pixels, decoding, { count: Math.min(256, items), batch: BATCH })),
      );
      rates.job.push(await runJob(items));
    }
    const { worker, workerd } = memory.stop();
    const alone = await runLoad({ clients: 1, requests: singles, ask: askOnce });
    const job = runJob(items);
    let isOver = false;
    const over = job.finally(() => {
      isOver = true;
    });
    const beside = await runLoad({ clients: 1, requests: () => !isOver, ask: askOnce });
    await over;
    return {
      model: bundle.manifest.id,
      dtype: bundle.manifest.dtype,
      threads: THREADS,
      items,
      turns,
      engine_items_per_second: median(rates.engine),
      job_items_per_second: median(rates.job),
      throughput_ratio: median(rates.job) / median(rates.engine),
      worker_mib: worker.map(Math.round).join(" "),
      workerd_mib: workerd.map(Math.round).join(" "),
      single_ms_alone: waits(alone.ms),
      single_ms_beside_a_job: waits(beside.ms),
    };
  } finally {
    await edge.stop();
    await backend.stop();
    await engine.close();
    media.close();
  }
}

function waits(ms: readonly number[]): Report {
  return { requests: ms.length, median: median(ms), p99: percentile(ms, 0.99), longest: Math.max(...ms) };
}

/** Serves a different picture at every path, by its number. */
async function startMedia(files: readonly Uint8Array[]): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    const number = Number(request.url?.slice(1));
    response.end(distinct(files[number % files.length] as Uint8Array, number));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("This is a bug: it listens nowhere.");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
