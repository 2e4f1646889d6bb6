/** BLIP's picture encoder, a ViT, as a piece of an ONNX graph. Dosovitskiy et al. 2020, arXiv:2010.11929. */

import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { tensorInfo, WeightError, type WeightSource } from "../weights/weights.ts";
import { attention, projectAttended, queryKeysValues } from "./attention.ts";
import type { VisionConfig } from "./config.ts";
import { addAndNorm, affine, feedForward, layerNorm } from "./layers.ts";
import { interpolatePositions } from "./position-embedding.ts";
import type { Preprocessing } from "./preprocessing.ts";
import { addStem, stemStride } from "./stem-graph.ts";

const EMBEDDINGS = "vision_model.embeddings";

/**
 * Adds the encoder's layers to `graph`.
 * @param embedded [batch, 1 + patches, hidden], from `addPictureEmbeddings`
 * @returns hidden states [batch * (1 + patches), hidden], on a GPU [batch, 1 + patches, hidden]
 */
export function addEncoderLayers(
  graph: GraphBuilder,
  config: VisionConfig,
  preprocessing: Preprocessing,
  embedded: Value,
): Value {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const tokens = encodedTokens(config, preprocessing);
  const asRows = (x: Value) => (graph.forGpu ? x : graph.op("Reshape", [x, graph.ints([-1, hidden])]));
  const byPicture = (x: Value) =>
    graph.forGpu ? x : graph.op("Reshape", [x, graph.ints([-1, tokens, hidden])]);
  const layerName = (i: number) => `vision_model.encoder.layers.${i}`;

  let sum = asRows(embedded);
  let normed = layerNorm(graph, sum, `${layerName(0)}.layer_norm1`, epsilon);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = layerName(i);
    const { query, key, value, readValueBias } = queryKeysValues(graph, normed, `${layer}.self_attn.qkv`);
    const context = asRows(
      attention(graph, { query: byPicture(query), key: byPicture(key), value: byPicture(value), heads }),
    );
    const attended = projectAttended(graph, context, `${layer}.self_attn.projection`, readValueBias);
    ({ sum, normed } = addAndNorm(graph, [{ product: sum }, attended], `${layer}.layer_norm2`, epsilon));
    const fed = feedForward(graph, normed, `${layer}.mlp.fc1`, `${layer}.mlp.fc2`);
    const isLast = i === config.num_hidden_layers - 1;
    const next = isLast ? "vision_model.post_layernorm" : `${layerName(i + 1)}.layer_norm1`;
    ({ sum, normed } = addAndNorm(graph, [{ product: sum }, fed], next, epsilon));
  }
  return normed;
}

/** Rows per picture after the encoder: one per patch, and the class token. @throws WeightError if the sizes do not fit */
export function encodedTokens({ patch_size: patch, stem }: VisionConfig, { size }: Preprocessing): number {
  if (stem && stemStride(stem) !== patch) {
    throw new WeightError(
      `The stem's cells are ${stemStride(stem)} pixels wide, but config.json has patches of ${patch}.`,
    );
  }
  if (size % patch !== 0) {
    throw new WeightError(`An image size of ${size} is not a multiple of the model's patch size, ${patch}.`);
  }
  return 1 + (size / patch) ** 2;
}

/**
 * Adds the input of the encoder's layers to `graph`.
 * @param pixels uint8 [batch, 3, size, size], 0..255; normalized here, so that only bytes are sent to the device
 * @returns [batch, 1 + patches, hidden]
 */
export function addPictureEmbeddings(
  graph: GraphBuilder,
  weights: WeightSource,
  config: VisionConfig,
  preprocessing: Preprocessing,
  pixels: Value,
): Value {
  const { hidden_size: hidden, patch_size: patch, stem } = config;
  const { size, mean, std } = preprocessing;
  const tokens = encodedTokens(config, preprocessing);
  const scale = graph.floats(
    std.map((s) => 1 / (255 * s)),
    [1, 3, 1, 1],
  );
  const shift = graph.floats(
    mean.map((m, i) => -m / (std[i] as number)),
    [1, 3, 1, 1],
  );
  const values = graph.cast(pixels, graph.floatType);
  const normalized = graph.op("Add", [graph.op("Mul", [values, scale]), shift]);
  const embedding = `${EMBEDDINGS}.patch_embedding`;
  // After a stem, whose cells are the patches, the patch embedding is a convolution of one cell.
  const [map, edge] = stem
    ? ([addStem(graph, weights, stem, `${embedding}.stem`, normalized), 1] as const)
    : ([normalized, patch] as const);
  const grid = size / patch;
  const patches = graph.forGpu
    ? addPatchProduct(graph, map, { module: embedding, grid, edge })
    : addPatchConvolution(graph, map, { module: embedding, hidden, edge });
  const batch = graph.op("Shape", [pixels], { start: 0, end: 1 });
  const classToken = graph.op("Expand", [
    graph.weight(`${EMBEDDINGS}.class_embedding`),
    graph.op("Concat", [batch, graph.ints([1, 1])], { axis: 0 }),
  ]);

  const name = `${EMBEDDINGS}.position_embedding`;
  const trained = Math.sqrt((tensorInfo(weights, name).shape[1] as number) - 1);
  const positions = graph.computed(name, [1, tokens, hidden], async () =>
    interpolatePositions(await weights.read(name), hidden, trained, grid),
  );
  return graph.op("Add", [graph.op("Concat", [classToken, patches], { axis: 1 }), positions]);
}

/** @returns [batch, patches, hidden] */
function addPatchConvolution(
  graph: GraphBuilder,
  map: Value,
  { module, hidden, edge }: { module: string; hidden: number; edge: number },
): Value {
  const convolved = graph.op(
    "Conv",
    [map, graph.weight(`${module}.weight`), graph.weight(`${module}.bias`)],
    {
      kernel_shape: [edge, edge],
      strides: [edge, edge],
    },
  );
  return graph.op("Transpose", [graph.op("Reshape", [convolved, graph.ints([0, hidden, -1])])], {
    perm: [0, 2, 1],
  });
}

/**
 * The same result as a matrix product: patches do not overlap, and a GPU's convolution of them is several times
 * slower.
 * @param map [batch, channels, grid * edge, grid * edge]
 */
function addPatchProduct(
  graph: GraphBuilder,
  map: Value,
  { module, grid, edge }: { module: string; grid: number; edge: number },
): Value {
  const weight = graph.matrix([`${module}.weight`]);
  const inputs = weight.shape[1] * edge * edge;
  const cut = graph.op("Reshape", [map, graph.ints([0, -1, grid, edge, grid, edge])]);
  const byPatch = graph.op("Transpose", [cut], { perm: [0, 2, 4, 1, 3, 5] });
  const rows = graph.op("Reshape", [byPatch, graph.ints([0, grid * grid, inputs])]);
  const matrix = { ...weight, shape: [weight.shape[0], inputs] } as const;
  return affine(graph, rows, matrix, graph.weight(`${module}.bias`));
}
