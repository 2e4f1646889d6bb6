import { expect, test } from "vitest";
import { type BlipConfig, readBlipConfig } from "../../../../backend/model/blip/config.ts";
import { requireShapes } from "../../../../backend/model/blip/tensor-shapes.ts";
import { openMergedWeights } from "../../../../backend/model/build.ts";
import { WeightError, type WeightSource } from "../../../../backend/model/weights/weights.ts";
import { TINY_BASE, TINY_HYBRID } from "../../../support/tiny-blip.ts";

const config = await readBlipConfig(TINY_BASE.folder);
const { text_config: text, vision_config: vision } = config;
const weights = await openMergedWeights({ base: TINY_BASE }, config);

function withShape(name: string, shape: readonly number[]): WeightSource {
  return { ...weights, tensors: new Map(weights.tensors).set(name, { shape }) };
}

test.each([TINY_BASE, TINY_HYBRID])(
  "weights of one model with their configuration are taken: $id",
  async (base) => {
    await expect(openMergedWeights({ base }, await readBlipConfig(base.folder))).resolves.toBeDefined();
  },
);

test.each<[string, Partial<BlipConfig>, string]>([
  [
    "more positions",
    { text_config: { ...text, max_position_embeddings: 64 } },
    "is [16,32], but by config.json it should be [64,32]",
  ],
  [
    "fewer words",
    { text_config: { ...text, vocab_size: 30 } },
    "is [31,32], but by config.json it should be [30,32]",
  ],
  [
    "wider layers",
    { text_config: { ...text, intermediate_size: 99 } },
    "is [64,32], but by config.json it should be [99,32]",
  ],
  [
    "a wider encoder",
    { vision_config: { ...vision, hidden_size: 64 } },
    "is [1,1,32], but by config.json it should be [1,1,64]",
  ],
  [
    "smaller patches",
    { vision_config: { ...vision, patch_size: 4 } },
    "is [1,17,32], but by config.json it should be [1,65,32]",
  ],
  [
    "another layer",
    { text_config: { ...text, num_hidden_layers: 3 } },
    "have no tensor 'text_decoder.bert.encoder.layer.2.",
  ],
  [
    "more layers than there is memory for",
    { vision_config: { ...vision, num_hidden_layers: Number.MAX_SAFE_INTEGER } },
    "have no tensor 'vision_model.encoder.layers.2.",
  ],
])("a configuration of another model is refused: %s", async (_, change, expected) => {
  const opening = openMergedWeights({ base: TINY_BASE }, { ...config, ...change });
  await expect(opening).rejects.toThrow(expected);
  await expect(opening).rejects.toBeInstanceOf(WeightError);
});

test.each<[string, readonly number[]]>([
  ["vision_model.embeddings.position_embedding", [1, 16, 32]],
  ["vision_model.embeddings.patch_embedding.weight", [32, 1, 8, 8]],
  // ONNX would spread the one value over all words.
  ["text_decoder.cls.predictions.decoder.bias", [1]],
  ["text_decoder.bert.encoder.layer.0.attention.self.query.bias", []],
  ["text_decoder.cls.predictions.decoder.weight", [40, 32]],
])("a tensor of another shape is refused by name: %s", (name, shape) => {
  expect(() => requireShapes(withShape(name, shape), config)).toThrow(`Tensor '${name}' is [${shape}]`);
});
