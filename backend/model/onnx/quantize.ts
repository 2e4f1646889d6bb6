/**
 * Matrix products with 8-bit operands, as a piece of an ONNX graph. Activations are scaled row by row, so that a
 * caption never depends on the others in its batch. (ONNX Runtime's DynamicQuantizeMatMul has one scale for the
 * whole tensor.)
 */

import type { GraphBuilder, Matrix, Value } from "./graph-builder.ts";
import { transpose } from "./transpose.ts";

const MAX_ACTIVATION = 127;
/** The unsigned byte that stands for zero. */
const ACTIVATION_ZERO = 128;
/**
 * Weights use seven bits. Processors without VNNI add two products of an unsigned and a signed byte in 16 bits. 255
 * * 127 * 2 would overflow, and the same bundle would give other captions there.
 */
const MAX_WEIGHT = 63;
/** Gives a row of zeros a scale too. */
const SMALLEST_ACTIVATION = 1e-8;

export interface ProductOptions {
  /** A known lower bound of x. With it the largest value gives the range, without a pass over the absolute values. */
  readonly least?: number | undefined;
}

/**
 * x W^T + b with one scale per row of x and one per row of W, summed in int32. Products of the same x share its
 * bytes.
 * @param x float [rows, in]
 */
export function addQuantizedProduct(
  graph: GraphBuilder,
  x: Value,
  weight: Matrix,
  bias: Value,
  options: ProductOptions,
): Value {
  const [outputs, inputs] = weight.shape;
  const quantized = once(async () => quantizeWeight(await weight.read(), inputs));
  const bytes = graph.constant({
    name: `${weight.name}.int8`,
    type: "int8",
    shape: [inputs, outputs],
    read: async () => new Uint8Array(transpose((await quantized()).bytes, inputs).buffer),
  });
  const scales = graph.computed(`${weight.name}.scales`, [outputs], async () => (await quantized()).scales);
  const rows = addQuantizedRows(graph, x, inputs, options);
  const sums = graph.op("com.microsoft:MatMulIntegerToFloat", [
    rows.bytes,
    bytes,
    graph.floats([1], []),
    scales,
    activationZero(graph),
  ]);
  return graph.op("Add", [graph.op("Mul", [sums, rows.scales]), bias]);
}

/** Quantizes x: uint8 [rows, columns] around `ACTIVATION_ZERO`, and the size of a step in each row, float [rows, 1]. */
function addQuantizedRows(graph: GraphBuilder, x: Value, columns: number, { least }: ProductOptions) {
  const scales = graph.once(`scales of ${x}`, () => {
    const known = least === undefined ? SMALLEST_ACTIVATION : Math.max(-least, SMALLEST_ACTIVATION);
    const sizes = least === undefined ? graph.op("Abs", [x]) : x;
    const largest = graph.op("ReduceMax", [sizes, graph.ints([-1])], { keepdims: 1 });
    const range = graph.op("Max", [largest, graph.floats([known])]);
    return graph.op("Mul", [range, graph.floats([1 / MAX_ACTIVATION])]);
  });
  // Every x of a graph has the same number of rows.
  const zeros = graph.once("activation_zeros", () =>
    graph.op("Expand", [activationZero(graph), graph.op("Shape", [scales])]),
  );
  const bytes = graph.once(`bytes of ${x}`, () =>
    graph.op("QuantizeLinear", [x, scales, zeros], { axis: 1, block_size: columns }),
  );
  return { bytes, scales };
}

function activationZero(graph: GraphBuilder): Value {
  return graph.constant({
    name: "activation_zero",
    type: "uint8",
    shape: [],
    read: async () => Uint8Array.of(ACTIVATION_ZERO),
  });
}

/** Quantizes to symmetric seven-bit values with one scale per row of `columns`. */
function quantizeWeight(values: Float32Array, columns: number): { bytes: Int8Array; scales: Float32Array } {
  const bytes = new Int8Array(values.length);
  const scales = new Float32Array(values.length / columns);
  for (let row = 0; row < scales.length; row++) {
    const [from, to] = [row * columns, (row + 1) * columns];
    let largest = 0;
    for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(values[i] as number));
    const scale = Math.fround(largest / MAX_WEIGHT) || 1;
    scales[row] = scale;
    for (let i = from; i < to; i++) bytes[i] = Math.round((values[i] as number) / scale);
  }
  return { bytes, scales };
}

/** Two constants share one quantization, which is released once both have been written. */
function once<T>(compute: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  let uses = 0;
  return () => {
    result ??= compute();
    const current = result;
    uses++;
    if (uses === 2) result = undefined;
    return current;
  };
}
