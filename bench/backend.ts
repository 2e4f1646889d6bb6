/**
 * Measures what the server adds to its engine: captions per second over HTTP with many clients, and milliseconds of
 * a lone request. The bare engine runs on the same pictures, threads and batch size, and both take turns within one
 * run.
 */

import { availableParallelism } from "node:os";
import * as z from "zod";
import { Device, openBundle } from "../backend/bundle/bundle.ts";
import type { DecodingOptions } from "../backend/engines/engine.ts";
import { createOnnxEngine } from "../backend/engines/onnx/engine.ts";
import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../backend/model/embedded.ts";
import { distinct, photograph, startBackend } from "./backend-process.ts";
import { decode, perSecond, runEngine, type Work } from "./bare-engine.ts";
import { runLoad } from "./load.ts";
import { bundleFolder, mostTokens } from "./options.ts";
import { post } from "./post.ts";
import { median, type Report } from "./report.ts";

const THREADS = availableParallelism();
const PICTURES = 64;

export const Options = z.object({
  bundle: bundleFolder,
  device: Device.default("cpu").describe("Where both compute."),
  batch: z.coerce
    .number()
    .int()
    .positive()
    .default(8)
    .describe("Most pictures of a forward pass, on both sides."),
  clients: z.coerce.number().int().positive().default(32).describe("Requests at once."),
  captions: z.coerce.number().int().positive().default(256).describe("Captions of each turn."),
  turns: z.coerce
    .number()
    .int()
    .positive()
    .default(3)
    .describe("Turns that each side has, one after the other."),
  tokens: mostTokens,
});
type Options = z.infer<typeof Options>;

export async function run({
  bundle: folder,
  device,
  batch: batchSize,
  clients,
  captions,
  turns,
  tokens,
}: Options): Promise<Report> {
  const bundle = folder === undefined ? await openEmbeddedBundle() : await openBundle(folder, { device });
  const { size, resampling: filter } = bundle.manifest.image;
  const decoding: DecodingOptions = { maxNewTokens: tokens, numBeams: 1, promptIds: [] };
  const files = await Promise.all(Array.from({ length: PICTURES }, (_, seed) => photograph(seed)));
  const pixels = await Promise.all(files.map((file) => decode(file, { size, filter })));

  const engine = await createOnnxEngine({ bundle, device, threads: THREADS, maxBatchSize: batchSize });
  const server = await startBackend({
    BUNDLE: folder ?? EMBEDDED_BUNDLE,
    DEVICE: device,
    THREADS: String(THREADS),
    MAX_BATCH_SIZE: String(batchSize),
    MAX_REQUESTS: String(clients),
    REQUEST_TIMEOUT_MS: "600000",
  });
  const url = `${server.url}/?max_new_tokens=${tokens}&num_beams=1`;
  try {
    const rates = { engine: [] as number[], http: [] as number[] };
    const latencies = { engine: [] as number[], http: [] as number[] };
    await runEngine(engine, pixels, decoding, { count: batchSize, batch: batchSize });
    await runClients(url, files, { count: batchSize, clients: batchSize });
    for (let turn = 0; turn < turns; turn++) {
      rates.engine.push(
        perSecond(await runEngine(engine, pixels, decoding, { count: captions, batch: batchSize })),
      );
      rates.http.push(perSecond(await runClients(url, files, { count: captions, clients })));
      const lone = Math.ceil(captions / 8);
      latencies.engine.push(...(await runEngine(engine, pixels, decoding, { count: lone, batch: 1 })).ms);
      latencies.http.push(...(await runClients(url, files, { count: lone, clients: 1 })).ms);
    }
    return {
      model: bundle.manifest.id,
      dtype: bundle.manifest.dtype,
      image_size: size,
      threads: THREADS,
      batch_size: batchSize,
      tokens,
      clients,
      engine_captions_per_second: median(rates.engine),
      http_captions_per_second: median(rates.http),
      throughput_ratio: median(rates.http) / median(rates.engine),
      engine_lone_ms: median(latencies.engine),
      http_lone_ms: median(latencies.http),
      latency_ratio: median(latencies.http) / median(latencies.engine),
    };
  } finally {
    await server.stop();
    await engine.close();
  }
}

let sent = 0;

/**
 * Runs `clients` clients that ask, wait and ask again. All bodies differ, so nothing is remembered and nothing is
 * joined.
 */
async function runClients(
  url: string,
  files: readonly Uint8Array[],
  { count, clients }: { count: number; clients: number },
): Promise<Work> {
  const load = await runLoad({
    clients,
    requests: count,
    ask() {
      sent += 1;
      return post(url, distinct(files[sent % files.length] as Uint8Array, sent));
    },
  });
  return { ...load, captions: count };
}
