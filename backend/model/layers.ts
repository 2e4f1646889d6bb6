/** The layers that encoder and decoder share, as pieces of an ONNX graph. Activations are [rows, features]. */

import { float, type GraphBuilder, type Value } from "./graph-builder.ts";

/** x W^T + b, with the weight as PyTorch stores it, [out, in]. @returns [rows, out] */
export function linear(graph: GraphBuilder, x: Value, module: string): Value {
  return graph.op("Gemm", [x, graph.weight(`${module}.weight`), graph.weight(`${module}.bias`)], {
    transB: 1,
  });
}

/** Several linears of the same input in one matrix product. @returns one [rows, out] each */
export function linears(graph: GraphBuilder, x: Value, parent: string, modules: readonly string[]): Value[] {
  const stacked = (kind: string) =>
    graph.stackedWeights(
      `${parent}.${modules.join("+")}.${kind}`,
      modules.map((module) => `${parent}.${module}.${kind}`),
    );
  const product = graph.op("Gemm", [x, stacked("weight"), stacked("bias")], { transB: 1 });
  return graph.ops("Split", modules.length, [product], { axis: 1, num_outputs: modules.length });
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
export function attention(graph: GraphBuilder, query: Value, key: Value, value: Value, heads: number): Value {
  return graph.op("com.microsoft:MultiHeadAttention", [query, key, value], { num_heads: heads });
}
