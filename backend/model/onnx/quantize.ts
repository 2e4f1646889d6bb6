/**
 * Matrix products with 8-bit operands, as a piece of an ONNX graph. Activations are scaled row by row, so that a caption
 * never depends on who shares its batch. (ONNX Runtime's DynamicQuantizeMatMul has one scale for the whole tensor.)
 */

import type { GraphBuilder, Matrix, Value } from "./graph-builder.ts";
import { transpose } from "./transpose.ts";

const MAX_ACTIVATION = 127;
/** Zero of an unsigned byte. */
const ACTIVATION_ZERO = 128;
/**
 * Weights use seven bits: processors without VNNI add two products of an unsigned and a signed byte in 16 bits, which
 * 255 * 127 * 2 would overflow, and then the same bundle would say other things there.
 */
const MAX_WEIGHT = 63;
/** A row of zeros has a scale all the same. */
const SMALLEST_ACTIVATION = 1e-8;

/**
 * x W^T + b with one scale a row of x and one a row of W, summed in int32.
 * @param x float [rows, in]
 */
export function addQuantizedProduct(graph: GraphBuilder, x: Value, weight: Matrix, bias: Value): Value {
  const [outputs, inputs] = weight.shape;
  const quantized = once(async () => quantizeRows(await weight.read(), inputs));
  const bytes = graph.constant({
    name: `${weight.name}.int8`,
    type: "int8",
    shape: [inputs, outputs],
    read: async () => new Uint8Array(transpose((await quantized()).bytes, inputs).buffer),
  });
  const scales = graph.computed(`${weight.name}.scales`, [outputs], async () => (await quantized()).scales);
  const unit = graph.floats([1 / MAX_ACTIVATION], []);
  const zero = graph.constant({
    name: "activation_zero",
    type: "uint8",
    shape: [],
    read: async () => Uint8Array.of(ACTIVATION_ZERO),
  });

  const largest = graph.op("ReduceMax", [graph.op("Abs", [x]), graph.ints([-1])], { keepdims: 1 });
  const range = graph.op("Max", [largest, graph.floats([SMALLEST_ACTIVATION])]);
  const bounded = graph.op("Div", [x, range]); // -1..1
  const activations = graph.op("QuantizeLinear", [bounded, unit, zero]);
  const sums = graph.op("com.microsoft:MatMulIntegerToFloat", [activations, bytes, unit, scales, zero]);
  return graph.op("Add", [graph.op("Mul", [sums, range]), bias]);
}

/** Symmetric values of seven bits, one scale a row of `columns`. */
function quantizeRows(values: Float32Array, columns: number): { bytes: Int8Array; scales: Float32Array } {
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

/** Two constants come from one quantization; it is let go when both have been written. */
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
