/**
 * Milliseconds of whole captions, in float32 and int8, beside transformers' `generate` on the same weights, threads and
 * length, in one run: the embedded model, and BLIP-base of random weights at 224 and 384 pixels. Beside each stands its
 * floor: operations over the machine's matrix rate, and bytes of weights over its bandwidth, both measured in the same run.
 */

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { type Bundle, openBundle } from "../backend/bundle/bundle.ts";
import { createOnnxEngine } from "../backend/engines/onnx/engine.ts";
import { readBlipConfig } from "../backend/model/blip/config.ts";
import { buildBundle } from "../backend/model/build.ts";
import { EMBEDDED_ADAPTER, EMBEDDED_BASE } from "../backend/model/embedded.ts";
import type { ModelFolder } from "../backend/model/weights/model-folder.ts";
import { type MachineRates, measureMachine } from "./floor/machine.ts";
import { captionCost } from "./floor/operations.ts";
import { runPython } from "./python.ts";
import { median, type Report, timeMs } from "./report.ts";

const NEW_TOKENS = 12;
const BATCHES = [1, 8];
const DTYPES = ["fp32", "int8"] as const;
const THREADS = availableParallelism();
const BYTES_PER_WEIGHT = { fp32: 4, int8: 1 };

export const Options = z.object({
  python: z.string().default("python3").describe("Python with training/requirements.txt installed."),
  repeats: z.coerce
    .number()
    .int()
    .positive()
    .default(7)
    .describe("Times that each is run; the median counts."),
});

const TransformersTimes = z.record(z.string(), z.array(z.number()));

interface Case {
  readonly name: string;
  readonly base: ModelFolder;
  readonly adapter?: ModelFolder;
  readonly imageSize: number;
}

export async function run({ python, repeats }: z.infer<typeof Options>): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), "bench-engine-"));
  const script = (name: string, args: readonly string[]) => runPython(python, `reference/${name}`, args);
  try {
    const blipBase = { id: "random/blip-base", folder: join(folder, "base") };
    await script("random_blip.py", ["--out", blipBase.folder]);
    await moveEndToken(blipBase.folder);
    const embedded = { id: EMBEDDED_BASE.id, folder: join(folder, "embedded") };
    await cp(EMBEDDED_BASE.folder, embedded.folder, { recursive: true });
    await moveEndToken(embedded.folder);
    const cases: Case[] = [
      { name: "embedded, 256 px", base: embedded, adapter: EMBEDDED_ADAPTER, imageSize: 256 },
      { name: "BLIP-base, 224 px", base: blipBase, imageSize: 224 },
      { name: "BLIP-base, 384 px", base: blipBase, imageSize: 384 },
    ];
    const machine = {
      fp32: await measureMachine("fp32", THREADS, folder),
      int8: await measureMachine("int8", THREADS, folder),
    };
    const rows: Report[] = [];
    for (const each of cases) {
      const out = join(folder, "bundle");
      const { base, adapter, imageSize } = each;
      await buildBundle({ base, ...(adapter && { adapter }), dtypes: DTYPES, imageSize, out });
      const stdout = await script("time_generate.py", [
        ...["--base", base.folder],
        ...(adapter ? ["--adapter", adapter.folder] : []),
        ...["--image-size", String(imageSize), "--batches", ...BATCHES.map(String)],
        ...["--new-tokens", String(NEW_TOKENS), "--threads", String(THREADS), "--repeats", String(repeats)],
      ]);
      const theirs = TransformersTimes.parse(JSON.parse(stdout.trim().split("\n").at(-1) ?? ""));
      const cost = captionCost(await readBlipConfig(base.folder), imageSize);
      for (const dtype of DTYPES) {
        const ours = await timeOurs(await openBundle(out, { dtype }), repeats);
        for (const batch of BATCHES) {
          const onnx = median(ours.get(batch) ?? []);
          const transformers = median(theirs[batch] ?? []);
          const floor = floorMs(cost, machine[dtype], batch, BYTES_PER_WEIGHT[dtype]);
          rows.push({
            model: each.name,
            dtype,
            batch,
            onnx_ms: onnx,
            floor_ms: floor,
            of_floor: floor / onnx,
            transformers_ms: transformers,
            times_as_fast: transformers / onnx,
          });
        }
      }
    }
    return {
      threads: THREADS,
      new_tokens: NEW_TOKENS,
      repeats,
      fp32_operations_per_second: machine.fp32.operationsPerSecond,
      int8_operations_per_second: machine.int8.operationsPerSecond,
      bytes_per_second: machine.fp32.bytesPerSecond,
      rows,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const Config = z.object({ text_config: z.object({ vocab_size: z.number() }) });

/** Ends captions by an id that is never chosen ([ENC], the last), so that all have the same length on both sides. */
async function moveEndToken(folder: string): Promise<void> {
  const path = join(folder, "config.json");
  const text = await readFile(path, "utf8");
  const last = Config.parse(JSON.parse(text)).text_config.vocab_size - 1;
  // In place: transformers tells 0.0 from 0, which a rewritten JSON does not.
  await writeFile(path, text.replace(/"sep_token_id": \d+/, `"sep_token_id": ${last}`));
}

/** Least time of a batch: each part takes as long as its operations or its weights, whichever is longer. */
function floorMs(
  { encoderOperations, stepOperations, stepWeights }: ReturnType<typeof captionCost>,
  { operationsPerSecond, bytesPerSecond }: MachineRates,
  batch: number,
  bytesPerWeight: number,
): number {
  const encoder = (batch * encoderOperations) / operationsPerSecond;
  const step = Math.max(
    (batch * stepOperations) / operationsPerSecond,
    (bytesPerWeight * stepWeights) / bytesPerSecond,
  );
  return 1000 * (encoder + NEW_TOKENS * step);
}

async function timeOurs(bundle: Bundle, repeats: number): Promise<Map<number, number[]>> {
  const { size } = bundle.manifest.image;
  const engine = await createOnnxEngine({ bundle, threads: THREADS });
  const times = new Map<number, number[]>();
  for (const batch of BATCHES) {
    const pixels = Uint8Array.from({ length: batch * 3 * size * size }, (_, i) => (i * 7919) % 256);
    const work = () =>
      engine.generate(pixels, batch, { maxNewTokens: NEW_TOKENS, numBeams: 1, promptIds: [] });
    times.set(batch, await timeMs(work, { warmUps: 1, repeats }));
  }
  await engine.close();
  return times;
}
