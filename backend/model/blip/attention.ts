/** Attention and the linears around it, as pieces of an ONNX graph. Vaswani et al. 2017, arXiv:1706.03762. */

import type { GraphBuilder, Matrix, Value } from "../onnx/graph-builder.ts";
import { affine, gpuProduct, type Projection, product, project } from "./layers.ts";

/**
 * A linear that gives the keys or the values of an attention. On a GPU, where adding a bias is a pass over memory,
 * its bias is left out. A key's bias adds the same to every score of a query, which the softmax cancels. A value's
 * bias passes through unchanged, because the weights sum to one, so `projectAttended` adds it.
 * @returns [..., out]
 */
export function keysOrValues(graph: GraphBuilder, x: Value, module: string): Value {
  const weight = graph.matrix([`${module}.weight`]);
  return graph.forGpu
    ? gpuProduct(graph, x, weight)
    : product(graph, x, weight, graph.weight(`${module}.bias`));
}

/** Query, keys and values from one linear that computes all three, as in `keysOrValues`. @returns [..., out / 3] each */
export function queryKeysValues(
  graph: GraphBuilder,
  x: Value,
  module: string,
): { query: Value; key: Value; value: Value; readValueBias: () => Promise<Float32Array> } {
  // Each gets its own product: with many rows, splitting costs more than one wider product saves.
  const weight = graph.matrix([`${module}.weight`]);
  const bias = graph.matrix([`${module}.bias`]);
  const [outputs, inputs] = weight.shape;
  const size = outputs / 3;
  const partOf = async ({ read }: Matrix, i: number, rowSize: number) =>
    (await read()).subarray(i * size * rowSize, (i + 1) * size * rowSize);
  const matrix = (i: number): Matrix => ({
    name: `${weight.name}.${i}`,
    shape: [size, inputs],
    read: () => partOf(weight, i, inputs),
  });
  const withBias = (i: number) =>
    affine(
      graph,
      x,
      matrix(i),
      graph.computed(`${module}.bias.${i}`, [size], () => partOf(bias, i, 1)),
    );
  const rest = (i: number) => (graph.forGpu ? gpuProduct(graph, x, matrix(i)) : withBias(i));
  return { query: withBias(0), key: rest(1), value: rest(2), readValueBias: () => partOf(bias, 2, 1) };
}

/**
 * The linear after an attention, including what `keysOrValues` left out: the values' bias, multiplied by this
 * linear's weight.
 * @param context [..., in]
 */
export function projectAttended(
  graph: GraphBuilder,
  context: Value,
  module: string,
  readValueBias: () => Promise<Float32Array>,
): Projection {
  if (!graph.forGpu) return project(graph, context, module);
  const weight = graph.matrix([`${module}.weight`]);
  const bias = graph.computed(`${module}.bias + weight x value bias`, [weight.shape[0]], async () => {
    const [matrix, own, ofValues] = await Promise.all([
      weight.read(),
      graph.matrix([`${module}.bias`]).read(),
      readValueBias(),
    ]);
    return own.map((sum, row) =>
      ofValues.reduce((sum, x, column) => sum + x * (matrix[row * ofValues.length + column] as number), sum),
    );
  });
  return { product: gpuProduct(graph, context, weight), bias };
}

/**
 * softmax(Q K^T / sqrt(d)) V over the heads, as one operator.
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
