/**
 * Checks the shape of each tensor that the graph reads, except those of a stem, against config.json. Another
 * model's weights would make a graph that does not open, fails at its first picture, or computes captions from the
 * wrong numbers.
 */

import { tensorInfo, WeightError, type WeightSource } from "../weights/weights.ts";
import type { BlipConfig } from "./config.ts";
import { OUTPUT_BIAS, OUTPUT_MATRIX, WORD_EMBEDDING } from "./output-layer.ts";

type Shape = readonly number[];
type Named = readonly [name: string, shape: Shape];

/** @throws WeightError naming the first tensor that is missing or does not match the configuration */
export function requireShapes(weights: WeightSource, config: BlipConfig): void {
  for (const [name, expected] of shapesOf(config)) {
    // Not stored separately if it is the word embedding.
    if (name === OUTPUT_MATRIX && !weights.tensors.has(name)) continue;
    const { shape } = tensorInfo(weights, name);
    if (String(shape) === String(expected)) continue;
    throw new WeightError(
      `Tensor '${name}' is [${shape}], but by config.json it should be [${expected}]: the weights and the configuration belong to different models.`,
    );
  }
}

/** Yields one at a time, because a configuration may name more layers than fit into memory. */
function* shapesOf(config: BlipConfig): Generator<Named> {
  yield* visionShapes(config);
  yield* textShapes(config);
}

function* visionShapes({ vision_config: config }: BlipConfig): Generator<Named> {
  const { hidden_size: hidden, intermediate_size: inner, patch_size: patch, stem } = config;
  const embeddings = "vision_model.embeddings";
  const positions = 1 + Math.floor(config.image_size / patch) ** 2;
  // After a stem, a patch is one cell of its map.
  const kernel = stem ? [stem.head_channels, 1, 1] : [3, patch, patch];
  yield* [
    [`${embeddings}.class_embedding`, [1, 1, hidden]],
    [`${embeddings}.position_embedding`, [1, positions, hidden]],
    [`${embeddings}.patch_embedding.weight`, [hidden, ...kernel]],
    [`${embeddings}.patch_embedding.bias`, [hidden]],
  ] satisfies Named[];
  yield* eachLayer("vision_model.encoder.layers", config.num_hidden_layers, (layer) => [
    ...norm(`${layer}.layer_norm1`, hidden),
    ...linear(`${layer}.self_attn.qkv`, hidden, 3 * hidden),
    ...linear(`${layer}.self_attn.projection`, hidden, hidden),
    ...norm(`${layer}.layer_norm2`, hidden),
    ...linear(`${layer}.mlp.fc1`, hidden, inner),
    ...linear(`${layer}.mlp.fc2`, inner, hidden),
  ]);
  yield* norm("vision_model.post_layernorm", hidden);
}

function* textShapes({ text_config: config, vision_config: vision }: BlipConfig): Generator<Named> {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocabulary } = config;
  const embeddings = "text_decoder.bert.embeddings";
  const transform = "text_decoder.cls.predictions.transform";
  const attention = (module: string, seen: number): Named[] => [
    ...linear(`${module}.self.query`, hidden, hidden),
    ...linear(`${module}.self.key`, seen, hidden),
    ...linear(`${module}.self.value`, seen, hidden),
    ...linear(`${module}.output.dense`, hidden, hidden),
    ...norm(`${module}.output.LayerNorm`, hidden),
  ];
  yield* [
    [WORD_EMBEDDING, [vocabulary, hidden]],
    [`${embeddings}.position_embeddings.weight`, [config.max_position_embeddings, hidden]],
    ...norm(`${embeddings}.LayerNorm`, hidden),
  ] satisfies Named[];
  yield* eachLayer("text_decoder.bert.encoder.layer", config.num_hidden_layers, (layer) => [
    ...attention(`${layer}.attention`, hidden),
    ...attention(`${layer}.crossattention`, vision.hidden_size),
    ...linear(`${layer}.intermediate.dense`, hidden, inner),
    ...linear(`${layer}.output.dense`, inner, hidden),
    ...norm(`${layer}.output.LayerNorm`, hidden),
  ]);
  yield* [
    ...linear(`${transform}.dense`, hidden, hidden),
    ...norm(`${transform}.LayerNorm`, hidden),
    [OUTPUT_MATRIX, [vocabulary, hidden]],
    [OUTPUT_BIAS, [vocabulary]],
  ] satisfies Named[];
}

function* eachLayer(parent: string, count: number, shapes: (layer: string) => Named[]): Generator<Named> {
  for (let i = 0; i < count; i++) yield* shapes(`${parent}.${i}`);
}

function linear(module: string, inputs: number, outputs: number): Named[] {
  return [
    [`${module}.weight`, [outputs, inputs]],
    [`${module}.bias`, [outputs]],
  ];
}

function norm(module: string, size: number): Named[] {
  return [
    [`${module}.weight`, [size]],
    [`${module}.bias`, [size]],
  ];
}
