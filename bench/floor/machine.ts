/** What this machine can do at most: matrix rates by ONNX Runtime's own product at its best shape, and memory bandwidth. */

import "../../backend/engines/onnx/no-telemetry.ts";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Dtype } from "../../backend/bundle/bundle.ts";
import { product } from "../../backend/model/blip/layers.ts";
import { GraphBuilder } from "../../backend/model/onnx/graph-builder.ts";
import { writeModel } from "../../backend/model/onnx/onnx-writer.ts";
import { median, timeMs } from "../report.ts";

const ROWS = 1024;
const WIDTH = 2048;
/** Larger than any cache. */
const COPY_BYTES = 512 * 1024 * 1024;
const REPEATS = 9;

export interface MachineRates {
  /** Operations a second of a large matrix product; a multiply-add counts as two. */
  readonly operationsPerSecond: number;
  /** Bytes read a second. */
  readonly bytesPerSecond: number;
}

/** Measures now, on `threads` threads, in the precision's own kind of product. */
export async function measureMachine(
  dtype: Extract<Dtype, "fp32" | "int8">,
  threads: number,
  folder: string,
): Promise<MachineRates> {
  const ms = median(
    await timeMs(await largeProduct(dtype, threads, folder), { warmUps: 2, repeats: REPEATS }),
  );
  return {
    operationsPerSecond: (2 * ROWS * WIDTH * WIDTH) / (ms / 1000),
    bytesPerSecond: await measureBandwidth(),
  };
}

async function largeProduct(dtype: Dtype, threads: number, folder: string): Promise<() => Promise<unknown>> {
  const weights = {
    tensors: new Map([
      ["w", { shape: [WIDTH, WIDTH] }],
      ["b", { shape: [WIDTH] }],
    ]),
    read: async (name: string) =>
      Float32Array.from({ length: name === "w" ? WIDTH * WIDTH : WIDTH }, (_, i) => Math.sin(i)),
  };
  const graph = GraphBuilder.root("product", weights, dtype);
  const x = graph.input("x", "float", ["rows", WIDTH]);
  graph.output(product(graph, x, graph.matrix(["w"]), graph.weight("b")), "y", "float", ["rows", WIDTH]);
  const path = join(folder, `product.${dtype}.onnx`);
  await writeModel(graph.build(), path);
  const session = await InferenceSession.create(path, { intraOpNumThreads: threads });
  const feed = {
    x: new Tensor(
      "float32",
      Float32Array.from({ length: ROWS * WIDTH }, (_, i) => Math.cos(i)),
      [ROWS, WIDTH],
    ),
  };
  return () => session.run(feed);
}

/** A copy reads and writes each byte; one thread, which on few cores is near what all get. */
async function measureBandwidth(): Promise<number> {
  const [from, to] = [Buffer.alloc(COPY_BYTES, 1), Buffer.alloc(COPY_BYTES, 2)];
  const ms = median(await timeMs(async () => from.copy(to), { warmUps: 1, repeats: REPEATS }));
  return (2 * COPY_BYTES) / (ms / 1000);
}
