/**
 * Measures a GPU. With `--device cpu --base models/hybrid-small/base` the same runs anywhere, on a small scale.
 *
 * - Whole captions, next to the fastest of transformers' float32, bfloat16 and `torch.compile`.
 * - The encoder's share of the matrix rate measured there.
 * - How many pictures the node's CPU decodes.
 * - Captions over HTTP, next to the bare engine.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { type Bundle, Device, openBundle } from "../../backend/bundle/bundle.ts";
import { pixelFormat } from "../../backend/captioner/captioner.ts";
import type { Engine } from "../../backend/engines/engine.ts";
import { createOnnxEngine } from "../../backend/engines/onnx/engine.ts";
import { createThreadedOnnxEngine } from "../../backend/engines/onnx/threaded.ts";
import { readBlipConfig } from "../../backend/model/blip/config.ts";
import { readPreprocessing } from "../../backend/model/blip/preprocessing.ts";
import { buildBundle } from "../../backend/model/build.ts";
import { startDecoder } from "../../backend/picture/decoder.ts";
import { inspectPicture } from "../../backend/picture/inspect.ts";
import { PICTURE_LIMITS } from "../../backend/picture/limits.ts";
import { run as timeBackend } from "../backend.ts";
import { photograph } from "../backend-process.ts";
import { openMatrixRate } from "../floor/machine.ts";
import { captionCost } from "../floor/operations.ts";
import { counts } from "../options.ts";
import { runPython } from "../python.ts";
import { median, type Report, timeMs } from "../report.ts";
import { startTransformers } from "../transformers.ts";

const NEW_TOKENS = 12;
const DECODED = 256;
const WARM_UPS = 3;

export const Options = z.object({
  python: z
    .string()
    .default("python3")
    .describe("Python with training/requirements.txt installed, and PyTorch for the device."),
  device: Device.default("cuda").describe("What computes."),
  base: z.string().optional().describe("Folder of the model; BLIP-base of random weights where absent."),
  batches: counts("1,8,32").describe("Pictures a batch, by commas."),
  repeats: z.coerce
    .number()
    .int()
    .positive()
    .default(9)
    .describe("Times that each is run; the median counts."),
});

const Rate = z.object({ operations_per_second: z.number() });

export async function run({
  python,
  device,
  base,
  batches,
  repeats,
}: z.infer<typeof Options>): Promise<Report> {
  const scratch = await mkdtemp(join(tmpdir(), "bench-gpu-"));
  const torchDevice = device === "cpu" ? "cpu" : "cuda";
  async function script(path: string, args: readonly string[]): Promise<unknown> {
    const stdout = await runPython(python, path, args);
    return JSON.parse(stdout.trim().split("\n").at(-1) || "null");
  }
  try {
    const model = base ?? join(scratch, "base");
    if (base === undefined) {
      await runPython(python, "reference/random_blip.py", ["--out", model]);
    }
    const { size } = await readPreprocessing(model);
    const out = join(scratch, "bundle");
    const dtypes = [device === "cpu" ? "fp32" : "fp16"] as const;
    await buildBundle({ base: { id: "bench/model", folder: model }, dtypes, out });
    const bundle = await openBundle(out, { device });
    const threads = availableParallelism();
    // On a CPU, ONNX Runtime's own product is the yardstick, because PyTorch's is several times slower on some of them.
    const matrixRate =
      device === "cpu"
        ? await matrixRateOfCpu(threads, scratch)
        : Rate.parse(await script("bench/gpu/matrix_rate.py", ["--device", torchDevice]))
            .operations_per_second;
    const { encoderOperations, stepOperations } = captionCost(await readBlipConfig(model), size);
    const maxBatchSize = Math.max(...batches);
    const engine = await createOnnxEngine({ bundle, device, maxBatchSize });
    // As in backend/engines/onnx/cuda-engine.ts once there is a crowd.
    const two = await Promise.all(
      [1, 2].map(() => createThreadedOnnxEngine({ bundle, device, maxBatchSize })),
    );
    const peer = startTransformers({
      python,
      base: model,
      imageSize: size,
      newTokens: NEW_TOKENS,
      threads,
      device: torchDevice,
    });
    const rows: Report[] = [];
    try {
      for (const batch of batches) {
        const first = await timeCaptions(engine, { batch, size, tokens: 1, repeats });
        const whole = await timeCaptions(engine, { batch, size, tokens: NEW_TOKENS, repeats });
        for (let turn = 0; turn < repeats; turn++) await peer.takeTurn(batch);
        const [anchor] = peer.results(batch);
        const row = {
          batch,
          first_token_ms: first,
          first_token_of_matrix_rate:
            (batch * (encoderOperations + stepOperations)) / (first / 1000) / matrixRate,
          ms_a_further_token: (whole - first) / (NEW_TOKENS - 1),
          caption_ms: whole,
          captions_per_second: (1000 * batch) / whole,
          captions_per_second_two_at_once: await rateOfBoth(two, { batch, size, passes: repeats }),
          transformers: anchor?.variant ?? null,
          transformers_ms: anchor?.ms ?? null,
          times_as_fast: anchor === undefined ? null : anchor.ms / whole,
        };
        rows.push(row);
        // A GPU is often lent for minutes only, so a run that is cut short should have printed what it had.
        console.error(JSON.stringify(row));
      }
    } finally {
      peer.stop();
      await Promise.all([engine, ...two].map((each) => each.close()));
    }
    return {
      device,
      image_size: size,
      dtype: bundle.manifest.dtype,
      matrix_operations_per_second: matrixRate,
      decoded_pictures_per_second: await decodeRate(bundle),
      http: await timeHttp({ bundle: out, device, batch: maxBatchSize }),
      rows,
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function matrixRateOfCpu(threads: number, scratch: string): Promise<number> {
  const rate = await openMatrixRate("fp32", threads, scratch);
  try {
    return await rate.measure();
  } finally {
    await rate.close();
  }
}

/** Uses twice as many callers as two full batches hold: one batch fills and decodes while the other runs. */
function timeHttp(options: { bundle: string; device: Device; batch: number }): Promise<Report> {
  const { batch } = options;
  return timeBackend({ ...options, tokens: NEW_TOKENS, clients: 4 * batch, captions: 32 * batch, turns: 3 });
}

/** Median milliseconds of a batch. Captions from random weights end only at their last token. */
async function timeCaptions(
  engine: Engine,
  { batch, size, tokens, repeats }: { batch: number; size: number; tokens: number; repeats: number },
): Promise<number> {
  const pixels = noise(batch, size);
  const work = () => engine.generate(pixels, batch, { maxNewTokens: tokens, numBeams: 1, promptIds: [] });
  return median(await timeMs(work, { warmUps: WARM_UPS, repeats }));
}

/** Captions per second of engines that run at once, each making one pass after the other. */
async function rateOfBoth(
  engines: readonly Engine[],
  { batch, size, passes }: { batch: number; size: number; passes: number },
): Promise<number> {
  // In shared memory, where the engine's thread reads them, like the server's batches.
  const pixels = noise(batch, size);
  const decoding = { maxNewTokens: NEW_TOKENS, numBeams: 1, promptIds: [] };
  async function runAll(passes: number): Promise<void> {
    async function run(engine: Engine): Promise<void> {
      for (let pass = 0; pass < passes; pass++) await engine.generate(pixels, batch, decoding);
    }
    await Promise.all(engines.map(run));
  }
  await runAll(WARM_UPS);
  const [ms] = await timeMs(() => runAll(passes), { warmUps: 0, repeats: 1 });
  return (1000 * engines.length * passes * batch) / (ms as number);
}

/** @returns uint8 [batch, 3, size, size], in memory that threads share */
function noise(batch: number, size: number): Uint8Array {
  const pixels = new Uint8Array(new SharedArrayBuffer(batch * 3 * size * size));
  for (let i = 0; i < pixels.length; i++) pixels[i] = (i * 7919) % 256;
  return pixels;
}

/** Pictures per second with one decoder per core. */
async function decodeRate(bundle: Bundle): Promise<number> {
  const format = pixelFormat(bundle);
  // Nobody reads the pixels, so all may go to the same place.
  const pixels = new Uint8Array(3 * format.size * format.size);
  const settings = { format, limits: PICTURE_LIMITS, memory: { take: () => pixels } };
  const decoders = Array.from({ length: availableParallelism() }, () => startDecoder(settings));
  const inspected = inspectPicture(await photograph(1), PICTURE_LIMITS);
  if (!inspected.ok) throw new Error(inspected.failure.detail);
  const all = () =>
    Promise.all(
      decoders.map(async (decoder) => {
        for (let i = 0; i < DECODED / decoders.length; i++) await decoder.decode(inspected.value);
      }),
    );
  const [ms] = await timeMs(all, { warmUps: 1, repeats: 1 });
  for (const decoder of decoders) decoder.end();
  return (1000 * DECODED) / (ms as number);
}
