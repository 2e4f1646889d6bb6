/**
 * The layers that encoder and decoder share, as pieces of an ONNX graph. Activations are [rows, features]; on a GPU, where
 * nothing is gained by a change of shape, they keep their batch: [batch, length, features].
 */

import { float, type GraphBuilder, type Matrix, type Value, type Values } from "../onnx/graph-builder.ts";
import { addQuantizedProduct, type ProductOptions } from "../onnx/quantize.ts";
import { transpose } from "../onnx/transpose.ts";

/** A linear whose bias, where there is one here, the next operator adds in its own pass over memory. */
export interface Projection {
  readonly product: Value;
  readonly bias?: Value;
}

/** x W^T, and b if that is left to the next operator. @returns [..., out] */
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

/** x W^T + b, all of it times `factor`. @returns [..., out] */
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

/** Several linears of the same input; their bias, where there is one here, the next operator adds. */
export interface Projections<Count extends number> {
  /** One [..., out] each. */
  readonly products: Values<Count>;
  /** Of all of them, one after the other. */
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

/** x W^T + b, where nothing behind it could add b in its own pass. @returns [..., out] */
export function affine(graph: GraphBuilder, x: Value, weight: Matrix, bias: Value): Value {
  return graph.forGpu
    ? graph.op("Add", [gpuProduct(graph, x, weight), bias])
    : product(graph, x, weight, bias);
}

/**
 * x W^T + b in the graph's precision, the weight as PyTorch stores it, [out, in].
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
 * x W^T, the bias left out. CUDA's Gemm fills its result with the bias first, by a slow product of its own, and reads it
 * again; ONNX Runtime makes a Gemm of a product of two matrices and a bias behind it, but not of a batch.
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
 * The sum of a residual connection and the layer normalization that reads it, Ba et al. 2016, arXiv:1607.06450.
 * The addends are a linear and what goes past it, in either order.
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

/** Exact GELU of a linear. Hendrycks and Gimpel 2016, arXiv:1606.08415. */
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
