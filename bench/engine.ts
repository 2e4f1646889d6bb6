/**
 * Measures milliseconds of whole captions in float32 and int8, next to transformers' `generate` with the same
 * weights, threads and length: the embedded model, and BLIP-base with random weights at 224 and 384 pixels. All
 * take turns of one batch each, so that a busy moment of the machine affects all alike. The anchor is the fastest
 * of transformers' float32, bfloat16 and `torch.compile`. The floor, measured in the same turns, is the least that
 * a batch can cost here: its operations at the machine's highest matrix rate, or its bytes of weights at the
 * memory's bandwidth.
 */

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { openBundle } from "../backend/bundle/bundle.ts";
import type { Engine } from "../backend/engines/engine.ts";
import { createOnnxEngine } from "../backend/engines/onnx/engine.ts";
import { readBlipConfig } from "../backend/model/blip/config.ts";
import { buildBundle } from "../backend/model/build.ts";
import { EMBEDDED_ADAPTER, EMBEDDED_BASE } from "../backend/model/embedded.ts";
import type { ModelFolder } from "../backend/model/weights/model-folder.ts";
import { type MatrixRate, measureBandwidth, openMatrixRate } from "./floor/machine.ts";
import { type CaptionCost, captionCost } from "./floor/operations.ts";
import { counts } from "./options.ts";
import { runPython } from "./python.ts";
import { median, type Report, timeMs } from "./report.ts";
import { type Peer, startTransformers } from "./transformers.ts";

const NEW_TOKENS = 12;
const DTYPES = ["fp32", "int8"] as const;
type BenchDtype = (typeof DTYPES)[number];
const THREADS = availableParallelism();
const BYTES_PER_WEIGHT = { fp32: 4, int8: 1 };
/** Threads of PyTorch's pool keep spinning for more work this long, at the expense of whoever has the next turn. */
const PAUSE_MS = 250;

export const Options = z.object({
  python: z.string().default("python3").describe("Python with training/requirements.txt installed."),
  batches: counts("1,2,4,8").describe("Pictures a batch, by commas."),
  repeats: z.coerce.number().int().positive().default(5).describe("Turns of each; the median counts."),
});
type Options = z.infer<typeof Options>;

interface Case {
  readonly name: string;
  readonly base: ModelFolder;
  readonly adapter?: ModelFolder;
  readonly imageSize: number;
}

export async function run(options: Options): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), "bench-engine-"));
  const rates: MatrixRate[] = [];
  try {
    const blipBase = { id: "random/blip-base", folder: join(folder, "base") };
    await runPython(options.python, "reference/random_blip.py", ["--out", blipBase.folder]);
    await moveEndToken(blipBase.folder);
    const embedded = { id: EMBEDDED_BASE.id, folder: join(folder, "embedded") };
    await cp(EMBEDDED_BASE.folder, embedded.folder, { recursive: true });
    await moveEndToken(embedded.folder);
    const cases: Case[] = [
      { name: "embedded, 256 px", base: embedded, adapter: EMBEDDED_ADAPTER, imageSize: 256 },
      { name: "BLIP-base, 224 px", base: blipBase, imageSize: 224 },
      { name: "BLIP-base, 384 px", base: blipBase, imageSize: 384 },
    ];
    const machine = { fp32: await openRate("fp32"), int8: await openRate("int8") };
    const rows: Report[] = [];
    for (const each of cases) rows.push(...(await runCase(each, machine, folder, options)));
    return {
      processor: cpus()[0]?.model.trim() ?? "unknown",
      threads: THREADS,
      new_tokens: NEW_TOKENS,
      repeats: options.repeats,
      fastest_products: Object.fromEntries(
        DTYPES.map((dtype) => [dtype, { ...machine[dtype].shape, threads: machine[dtype].threads }]),
      ),
      rows,
    };
  } finally {
    for (const rate of rates) await rate.close();
    await rm(folder, { recursive: true, force: true });
  }

  async function openRate(dtype: BenchDtype): Promise<MatrixRate> {
    const rate = await openMatrixRate(dtype, THREADS, folder);
    rates.push(rate);
    return rate;
  }
}

async function runCase(
  { name, base, adapter, imageSize }: Case,
  machine: Readonly<Record<BenchDtype, MatrixRate>>,
  folder: string,
  { python, batches, repeats }: Options,
): Promise<Report[]> {
  const out = join(folder, "bundle");
  await buildBundle({ base, ...(adapter && { adapter }), dtypes: DTYPES, imageSize, out });
  const cost = captionCost(await readBlipConfig(base.folder), imageSize);
  const [threads, newTokens, device] = [THREADS, NEW_TOKENS, "cpu"] as const;
  const folders = { base: base.folder, adapter: adapter?.folder };
  const peer = startTransformers({ python, ...folders, imageSize, newTokens, threads, device });
  const engines: Engine[] = [];
  try {
    const open = async (dtype: BenchDtype) => {
      const bundle = await openBundle(out, { dtype });
      const engine = await createOnnxEngine({ bundle, threads, maxBatchSize: Math.max(...batches) });
      engines.push(engine);
      return engine;
    };
    const ours = { fp32: await open("fp32"), int8: await open("int8") };
    const rows: Report[] = [];
    for (const batch of batches) {
      const { ms, floors } = await takeTurns({ ours, peer, machine, cost, imageSize, batch, repeats });
      const [anchor, ...slower] = peer.results(batch);
      if (anchor === undefined) throw new Error("This is a bug: a turn without a time.");
      for (const dtype of DTYPES) {
        const onnx = median(ms[dtype]);
        rows.push({
          model: name,
          dtype,
          batch,
          onnx_ms: onnx,
          floor_ms: median(floors[dtype]),
          of_floor: median(floors[dtype].map((floor, turn) => floor / (ms[dtype][turn] as number))),
          transformers: anchor.variant,
          transformers_ms: anchor.ms,
          times_as_fast: anchor.ms / onnx,
          slower_transformers_ms: Object.fromEntries(slower.map(({ variant, ms }) => [variant, ms])),
          not_run: Object.fromEntries(peer.errors),
        });
      }
    }
    return rows;
  } finally {
    peer.stop();
    for (const engine of engines) await engine.close();
  }
}

/** Milliseconds of our batches and their floors, one of each per turn; the peer keeps its own times. */
async function takeTurns(of: {
  readonly ours: Readonly<Record<BenchDtype, Engine>>;
  readonly peer: Peer;
  readonly machine: Readonly<Record<BenchDtype, MatrixRate>>;
  readonly cost: CaptionCost;
  readonly imageSize: number;
  readonly batch: number;
  readonly repeats: number;
}): Promise<{ ms: Record<BenchDtype, number[]>; floors: Record<BenchDtype, number[]> }> {
  const { ours, peer, machine, cost, imageSize, batch, repeats } = of;
  const pixels = Uint8Array.from({ length: batch * 3 * imageSize ** 2 }, (_, i) => (i * 7919) % 256);
  const ms: Record<BenchDtype, number[]> = { fp32: [], int8: [] };
  const floors: Record<BenchDtype, number[]> = { fp32: [], int8: [] };
  for (let turn = 0; turn < repeats; turn++) {
    const bytes = await measureBandwidth();
    for (const dtype of DTYPES) {
      const caption = () =>
        ours[dtype].generate(pixels, batch, { maxNewTokens: NEW_TOKENS, numBeams: 1, promptIds: [] });
      ms[dtype].push(...(await timeMs(caption, { warmUps: turn === 0 ? 1 : 0, repeats: 1 })));
      const operations = await machine[dtype].measure();
      floors[dtype].push(floorMs(cost, { operations, bytes }, batch, BYTES_PER_WEIGHT[dtype]));
    }
    await peer.takeTurn(batch);
    await sleep(PAUSE_MS);
  }
  return { ms, floors };
}

const Config = z.object({ text_config: z.object({ vocab_size: z.number() }) });

/**
 * Sets the end token to an id that is never chosen ([ENC], the last), so that all captions have the same length on
 * both sides.
 */
async function moveEndToken(folder: string): Promise<void> {
  const path = join(folder, "config.json");
  const text = await readFile(path, "utf8");
  const last = Config.parse(JSON.parse(text)).text_config.vocab_size - 1;
  // Edited as text, because transformers distinguishes 0.0 from 0, which a rewritten JSON does not.
  await writeFile(path, text.replace(/"sep_token_id": \d+/, `"sep_token_id": ${last}`));
}

/** Least time of a batch: each part takes as long as its operations or its weights, whichever is longer. */
function floorMs(
  { encoderOperations, stepOperations, stepWeights }: CaptionCost,
  rates: { readonly operations: number; readonly bytes: number },
  batch: number,
  bytesPerWeight: number,
): number {
  const encoder = (batch * encoderOperations) / rates.operations;
  const step = Math.max(
    (batch * stepOperations) / rates.operations,
    (bytesPerWeight * stepWeights) / rates.bytes,
  );
  return 1000 * (encoder + NEW_TOKENS * step);
}
