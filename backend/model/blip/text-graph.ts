/** BLIP's text decoder, a BERT with cross-attention, as pieces of an ONNX graph. Li et al. 2022, arXiv:2201.12086. */

import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { attention, keysOrValues, projectAttended } from "./attention.ts";
import type { TextConfig } from "./config.ts";
import {
  addAndNorm,
  feedForward,
  gelu,
  layerNorm,
  linear,
  linears,
  type Projection,
  product,
  project,
} from "./layers.ts";
import { OUTPUT_BIAS, OUTPUT_MATRIX, WORD_EMBEDDING } from "./output-layer.ts";

const LAYER = "text_decoder.bert.encoder.layer";
const EMBEDDINGS = "text_decoder.bert.embeddings";
const HEAD = "text_decoder.cls.predictions";

/**
 * Keys and values of one attention, [batch, heads, length, hidden / heads] each. In a cross-attention the keys are
 * [batch, heads, hidden / heads, length]; on a GPU its keys and values are [batch, length, hidden], which its fused
 * attention reads.
 */
export interface KeyValue {
  readonly key: Value;
  readonly value: Value;
}

/** Keys and values of the encoded pictures for every layer, computed once per picture. */
export function addCrossKeyValues(
  graph: GraphBuilder,
  config: TextConfig,
  encoded: Value,
  encodedTokens: number,
): KeyValue[] {
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const split = graph.ints([-1, encodedTokens, heads, hidden / heads]);
  const byHead = (x: Value, perm: readonly number[]) =>
    graph.op("Transpose", [graph.op("Reshape", [x, split])], { perm });
  return Array.from({ length: config.num_hidden_layers }, (_, i) => {
    const parent = `${LAYER}.${i}.crossattention.self`;
    const read = (name: "key" | "value", perm: readonly number[]) => {
      const x = keysOrValues(graph, encoded, `${parent}.${name}`);
      return graph.forGpu ? x : byHead(x, perm);
    };
    return { key: read("key", [0, 2, 3, 1]), value: read("value", [0, 2, 1, 3]) };
  });
}

/** Empty self-attention keys and values for a first step, [batch, heads, 0, hidden / heads]. */
export function addEmptyCache(graph: GraphBuilder, config: TextConfig, batch: Value): KeyValue[] {
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const shape = graph.op("Concat", [batch, graph.ints([heads, 0, hidden / heads])], { axis: 0 });
  const zeros = graph.op("ConstantOfShape", [shape]);
  const empty = graph.floatType === "float" ? zeros : graph.cast(zeros, "float16");
  return Array.from({ length: config.num_hidden_layers }, () => ({ key: empty, value: empty }));
}

/** The inputs of one decoder step. */
export interface DecoderStep {
  /** int64 [rows] */
  readonly token: Value;
  /** int64 scalar */
  readonly position: Value;
  readonly cache: readonly KeyValue[];
  readonly cross: readonly KeyValue[];
  /** Rows per picture, int64 [1]: they share its cross-attention keys and values. Absent for one row. */
  readonly rowsPerPicture?: Value;
}

/**
 * One step of the decoder, up to its last layer.
 * @returns hidden states [rows, hidden], on a GPU [rows, 1, hidden], and the cache grown by this step
 */
export function addDecoderStep(
  graph: GraphBuilder,
  config: TextConfig,
  { token, position, cache, cross, rowsPerPicture }: DecoderStep,
): { hidden: Value; cache: KeyValue[] } {
  const { hidden_size: size, num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const asStep = (x: Value) => graph.op("Unsqueeze", [x, graph.ints([1])]);
  const asRows = (x: Value) =>
    graph.op("Reshape", [x, graph.ints(graph.forGpu ? [-1, 1, size] : [-1, size])]);
  const word = graph.op("Gather", [graph.weight(WORD_EMBEDDING), token]);
  const place = graph.op("Gather", [graph.weight(`${EMBEDDINGS}.position_embeddings.weight`), position]);
  const embedded = layerNorm(graph, graph.op("Add", [word, place]), `${EMBEDDINGS}.LayerNorm`, epsilon);
  let x = graph.forGpu ? asStep(embedded) : embedded;

  const grown = cache.map((past, i) => {
    const layer = `${LAYER}.${i}`;
    const closeBranch = (branch: Projection, norm: string) =>
      addAndNorm(graph, [branch, { product: x }], norm, epsilon).normed;

    const own = `${layer}.attention.self`;
    const { products, bias = "" } = linears(graph, x, [`${own}.query`, `${own}.key`, `${own}.value`]);
    const [context, key, value] = graph.ops(
      "com.microsoft:MultiHeadAttention",
      3,
      [...(graph.forGpu ? products : products.map(asStep)), bias, "", "", past.key, past.value],
      { num_heads: heads },
    );
    const said = graph.forGpu ? context : asRows(context);
    x = closeBranch(
      project(graph, said, `${layer}.attention.output.dense`),
      `${layer}.attention.output.LayerNorm`,
    );

    const across = `${layer}.crossattention`;
    const seen = addCrossAttention(graph, config, x, {
      module: `${across}.self`,
      pictures: cross[i] as KeyValue,
      rowsPerPicture,
    });
    const valueBias = graph.matrix([`${across}.self.value.bias`]);
    x = closeBranch(
      projectAttended(graph, seen, `${across}.output.dense`, valueBias.read),
      `${across}.output.LayerNorm`,
    );

    const fed = feedForward(graph, x, `${layer}.intermediate.dense`, `${layer}.output.dense`);
    x = closeBranch(fed, `${layer}.output.LayerNorm`);
    return { key, value };
  });
  return { hidden: x, cache: grown };
}

/**
 * Cross-attention of a step's rows to their pictures. The rows of a picture are queries of one attention, so that
 * its keys and values need not be repeated for them.
 * @returns the same shape as x
 */
function addCrossAttention(
  graph: GraphBuilder,
  { hidden_size: size, num_attention_heads: heads }: TextConfig,
  x: Value,
  {
    module,
    pictures: { key, value },
    rowsPerPicture,
  }: { module: string; pictures: KeyValue; rowsPerPicture: Value | undefined },
): Value {
  const shape = (...sizes: Value[]) => graph.op("Concat", sizes, { axis: 0 });
  if (graph.forGpu) {
    const query = linear(graph, x, `${module}.query`);
    // With one row per picture, activations already have the shape of a query.
    if (rowsPerPicture === undefined) return attention(graph, { query, key, value, heads });
    const byPicture = shape(graph.ints([-1]), rowsPerPicture, graph.ints([size]));
    const seen = attention(graph, { query: graph.op("Reshape", [query, byPicture]), key, value, heads });
    return graph.op("Reshape", [seen, graph.ints([-1, 1, size])]);
  }
  // A fused attention would rearrange all keys and values at each step; here they already lie as the products for
  // one row need them.
  const width = size / heads;
  const query = linear(graph, x, `${module}.query`, 1 / Math.sqrt(width));
  const byHead = (x: Value) => graph.op("Transpose", [x], { perm: [0, 2, 1, 3] });
  const queries =
    rowsPerPicture === undefined
      ? graph.op("Reshape", [query, graph.ints([-1, heads, 1, width])])
      : byHead(
          graph.op("Reshape", [query, shape(graph.ints([-1]), rowsPerPicture, graph.ints([heads, width]))]),
        );
  const seen = graph.op("MatMul", [graph.op("Softmax", [graph.op("MatMul", [queries, key])]), value]);
  const rows = rowsPerPicture === undefined ? seen : byHead(seen);
  return graph.op("Reshape", [rows, graph.ints([-1, size])]);
}

/** Logits of a step's hidden states, float32 [rows, vocabulary]. */
export function addLanguageHead(
  graph: GraphBuilder,
  { layer_norm_eps: epsilon, hidden_size: size }: TextConfig,
  hidden: Value,
): Value {
  const transformed = gelu(graph, project(graph, hidden, `${HEAD}.transform.dense`));
  const normed = layerNorm(graph, transformed, `${HEAD}.transform.LayerNorm`, epsilon);
  const rows = graph.forGpu ? graph.op("Reshape", [normed, graph.ints([-1, size])]) : normed;
  // If the output matrix is the word embedding, one tensor is stored for both.
  const matrix = graph.hasWeight(OUTPUT_MATRIX) ? OUTPUT_MATRIX : WORD_EMBEDDING;
  const logits = product(graph, rows, graph.matrix([matrix]), graph.weight(OUTPUT_BIAS));
  return graph.floatType === "float" ? logits : graph.cast(logits, "float");
}
