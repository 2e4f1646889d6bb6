/** The most that this machine can do: matrix rates with ONNX Runtime's own product, and memory bandwidth. */

import "../../backend/engines/onnx/no-telemetry.ts";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Dtype } from "../../backend/bundle/bundle.ts";
import { product } from "../../backend/model/blip/layers.ts";
import { GraphBuilder } from "../../backend/model/onnx/graph-builder.ts";
import { writeModel } from "../../backend/model/onnx/onnx-writer.ts";
import { median, timeMs } from "../report.ts";

/** Candidates for the fastest product of [rows, width] and [width, width], because processors differ in their caches. */
const SHAPES = [
  { rows: 512, width: 1024 },
  { rows: 1024, width: 2048 },
  { rows: 4096, width: 1024 },
  { rows: 4096, width: 768 },
] as const;
type Shape = (typeof SHAPES)[number];

/** Larger than any cache. */
const COPY_BYTES = 512 * 1024 * 1024;
const SEARCH_REPEATS = 5;
const REPEATS = 9;

type ProductDtype = Extract<Dtype, "fp32" | "int8">;

/** The product that this machine computes the fastest. */
export interface MatrixRate {
  readonly shape: Shape;
  readonly threads: number;
  /** Operations per second, a multiply-add counting as two: the median of several products, computed now. */
  measure(): Promise<number>;
  close(): Promise<void>;
}

/**
 * Finds the shape and the number of threads, up to `maxThreads`, with the highest rate of this precision's kind of
 * product.
 */
export async function openMatrixRate(
  dtype: ProductDtype,
  maxThreads: number,
  folder: string,
): Promise<MatrixRate> {
  let best: (MatrixRate & { readonly rate: number }) | undefined;
  for (const shape of SHAPES) {
    for (const threads of new Set([1, Math.ceil(maxThreads / 2), maxThreads])) {
      const { run, close } = await openProduct(dtype, shape, threads, folder);
      const rateOf = async (repeats: number) =>
        (2 * shape.rows * shape.width ** 2) / (median(await timeMs(run, { warmUps: 2, repeats })) / 1000);
      const rate = await rateOf(SEARCH_REPEATS);
      if (best !== undefined && rate <= best.rate) await close();
      else {
        await best?.close();
        best = { shape, threads, rate, measure: () => rateOf(REPEATS), close };
      }
    }
  }
  if (best === undefined) throw new Error("This is a bug: a rate without threads.");
  return best;
}

async function openProduct(dtype: ProductDtype, { rows, width }: Shape, threads: number, folder: string) {
  const weights = {
    tensors: new Map([
      ["w", { shape: [width, width] }],
      ["b", { shape: [width] }],
    ]),
    read: async (name: string) =>
      Float32Array.from({ length: name === "w" ? width * width : width }, (_, i) => Math.sin(i)),
  };
  const graph = GraphBuilder.root("product", weights, dtype);
  const x = graph.input("x", "float", ["rows", width]);
  graph.output(product(graph, x, graph.matrix(["w"]), graph.weight("b")), "y", "float", ["rows", width]);
  const path = join(folder, `product.${dtype}.${width}.onnx`);
  await writeModel(graph.build(), path);
  const session = await InferenceSession.create(path, { intraOpNumThreads: threads });
  const values = Float32Array.from({ length: rows * width }, (_, i) => Math.cos(i));
  const feed = { x: new Tensor("float32", values, [rows, width]) };
  return { run: () => session.run(feed), close: () => session.release() };
}

/**
 * Bytes per second of a large copy, counting each byte as read and written. It uses one thread, which on few cores
 * comes close to what all of them achieve.
 */
export async function measureBandwidth(): Promise<number> {
  const [from, to] = [Buffer.alloc(COPY_BYTES, 1), Buffer.alloc(COPY_BYTES, 2)];
  const ms = median(await timeMs(async () => from.copy(to), { warmUps: 1, repeats: REPEATS }));
  return (2 * COPY_BYTES) / (ms / 1000);
}
