/**
 * The layers that encoder and decoder share, as pieces of an ONNX graph. Activations are [rows, features]. On a
 * GPU, which gains nothing from that shape, they keep their batch: [batch, length, features].
 */

import { float, type GraphBuilder, type Matrix, type Value, type Values } from "../onnx/graph-builder.ts";
import { addQuantizedProduct, type ProductOptions } from "../onnx/quantize.ts";
import { transpose } from "../onnx/transpose.ts";

/** A linear's product. If `bias` is present, the next operator adds it in its own pass over memory. */
export interface Projection {
  readonly product: Value;
  readonly bias?: Value;
}

/** x W^T, with b already added unless the next operator can do that. @returns [..., out] */
export function project(
  graph: GraphBuilder,
  x: Value,
  module: string,
  options: ProductOptions = {},
): Projection {
  const weight = graph.matrix([`${module}.weight`]);
  const bias = graph.weight(`${module}.bias`);
  if (!graph.forGpu) return { product: product(graph, x, weight, bias, options) };
  return { product: gpuProduct(graph, x, weight), bias };
}

/** x W^T + b, all multiplied by `factor`. @returns [..., out] */
export function linear(graph: GraphBuilder, x: Value, module: string, factor = 1): Value {
  const weight = graph.matrix([`${module}.weight`]);
  if (factor === 1) return affine(graph, x, weight, graph.weight(`${module}.bias`));
  const scaled = ({ name, read }: Matrix) => ({
    name: `${name} * ${factor}`,
    read: async () => (await read()).map((value) => value * factor),
  });
  const bias = scaled(graph.matrix([`${module}.bias`]));
  return affine(
    graph,
    x,
    { ...weight, ...scaled(weight) },
    graph.computed(bias.name, [weight.shape[0]], bias.read),
  );
}

/** Several linears of the same input. If `bias` is present, the next operator adds it. */
export interface Projections<Count extends number> {
  /** One for each linear, [..., out]. */
  readonly products: Values<Count>;
  /** The biases of all of them, concatenated. */
  readonly bias?: Value;
}

/** Several linears of the same input in one matrix product. */
export function linears<const Modules extends readonly string[]>(
  graph: GraphBuilder,
  x: Value,
  modules: Modules,
): Projections<Modules["length"]> {
  const weight = graph.matrix(modules.map((module) => `${module}.weight`));
  const bias = graph.vector(modules.map((module) => `${module}.bias`));
  const count: Modules["length"] = modules.length;
  const split = (all: Value, axis: number) => graph.ops("Split", count, [all], { axis, num_outputs: count });
  return graph.forGpu
    ? { products: split(gpuProduct(graph, x, weight), 2), bias }
    : { products: split(product(graph, x, weight, bias), 1) };
}

/** x W^T + b, for a linear after which no operator could add b in its own pass. @returns [..., out] */
export function affine(graph: GraphBuilder, x: Value, weight: Matrix, bias: Value): Value {
  return graph.forGpu
    ? graph.op("Add", [gpuProduct(graph, x, weight), bias])
    : product(graph, x, weight, bias);
}

/**
 * x W^T + b in the graph's precision; the weight is [out, in], as PyTorch stores it.
 * @param x [rows, in]
 */
export function product(
  graph: GraphBuilder,
  x: Value,
  weight: Matrix,
  bias: Value,
  options: ProductOptions = {},
): Value {
  if (graph.dtype === "int8") return addQuantizedProduct(graph, x, weight, bias, options);
  return graph.op("Gemm", [x, graph.computed(weight.name, weight.shape, weight.read), bias], { transB: 1 });
}

/**
 * x W^T without the bias. CUDA's Gemm first fills its result with the bias, by a slow product of its own, and then
 * reads it again. ONNX Runtime turns a product of two matrices and a bias after it into a Gemm, but not if there is
 * a batch.
 * @param x [batch, length, in]
 */
export function gpuProduct(
  graph: GraphBuilder,
  x: Value,
  { name, shape: [outputs, inputs], read }: Matrix,
): Value {
  const transposed = graph.computed(`${name}.transposed`, [inputs, outputs], async () =>
    transpose(await read(), inputs),
  );
  return graph.op("MatMul", [x, transposed]);
}

export function layerNorm(graph: GraphBuilder, x: Value, module: string, epsilon: number): Value {
  return graph.op(
    "LayerNormalization",
    [x, graph.weight(`${module}.weight`), graph.weight(`${module}.bias`)],
    {
      axis: -1,
      epsilon: float(epsilon),
    },
  );
}

/**
 * Adds a residual connection and normalizes the sum, Ba et al. 2016, arXiv:1607.06450. The addends are a linear and
 * the input that bypasses it, in either order.
 */
export function addAndNorm(
  graph: GraphBuilder,
  [a, b]: readonly [Projection, Projection],
  module: string,
  epsilon: number,
): { sum: Value; normed: Value } {
  if (!graph.forGpu) {
    const sum = graph.op("Add", [a.product, b.product]);
    return { sum, normed: layerNorm(graph, sum, module, epsilon) };
  }
  const inputs = [a.product, b.product, graph.weight(`${module}.weight`), graph.weight(`${module}.bias`)];
  const bias = a.bias ?? b.bias ?? "";
  const [normed, , , sum] = graph.ops("com.microsoft:SkipLayerNormalization", 4, [...inputs, bias], {
    epsilon: float(epsilon),
  });
  return { sum, normed };
}

/** Exact GELU of a linear's result. Hendrycks and Gimpel 2016, arXiv:1606.08415. */
export function gelu(graph: GraphBuilder, { product, bias }: Projection): Value {
  return bias === undefined
    ? graph.op("Gelu", [product])
    : graph.op("com.microsoft:BiasGelu", [product, bias]);
}

/** GELU's minimum, rounded down. */
const LEAST_GELU = -0.17;

/** Linear, GELU, linear. */
export function feedForward(graph: GraphBuilder, x: Value, first: string, second: string): Projection {
  return project(graph, gelu(graph, project(graph, x, first)), second, { least: LEAST_GELU });
}
