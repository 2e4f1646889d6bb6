/** The layers that encoder and decoder share, as pieces of an ONNX graph. Activations are [rows, features]. */

import { float, type GraphBuilder, type Matrix, type Value, type Values } from "../onnx/graph-builder.ts";
import { addQuantizedProduct } from "../onnx/quantize.ts";

/** x W^T + b. @returns [rows, out] */
export function linear(graph: GraphBuilder, x: Value, module: string): Value {
  return product(graph, x, graph.matrix([`${module}.weight`]), graph.weight(`${module}.bias`));
}

/** Several linears of the same input in one matrix product. @returns one [rows, out] each */
export function linears<const Modules extends readonly string[]>(
  graph: GraphBuilder,
  x: Value,
  modules: Modules,
): Values<Modules["length"]> {
  const weight = graph.matrix(modules.map((module) => `${module}.weight`));
  const all = product(graph, x, weight, graph.vector(modules.map((module) => `${module}.bias`)));
  const count: Modules["length"] = modules.length;
  return graph.ops("Split", count, [all], { axis: 1, num_outputs: count });
}

/** x W^T + b in the graph's precision, the weight as PyTorch stores it, [out, in]. */
export function product(graph: GraphBuilder, x: Value, weight: Matrix, bias: Value): Value {
  if (graph.dtype === "int8") return addQuantizedProduct(graph, x, weight, bias);
  return graph.op("Gemm", [x, graph.computed(weight.name, weight.shape, weight.read), bias], { transB: 1 });
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

/** Linear, exact GELU, linear. Hendrycks and Gimpel 2016, arXiv:1606.08415. */
export function feedForward(graph: GraphBuilder, x: Value, first: string, second: string): Value {
  return linear(graph, graph.op("Gelu", [linear(graph, x, first)]), second);
}

/**
 * softmax(Q K^T / sqrt(d)) V over the heads, as one operator. Vaswani et al. 2017, arXiv:1706.03762.
 * @param query [batch, queries, hidden]
 * @param key, value [batch, keys, hidden] or, already split, [batch, heads, keys, hidden / heads]
 * @returns [batch, queries, hidden]
 */
export function attention(
  graph: GraphBuilder,
  { query, key, value, heads }: { query: Value; key: Value; value: Value; heads: number },
): Value {
  return graph.op("com.microsoft:MultiHeadAttention", [query, key, value], { num_heads: heads });
}
