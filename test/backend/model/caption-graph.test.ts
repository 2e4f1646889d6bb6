import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { readBlipConfig, readPreprocessing } from "../../../backend/model/blip-config.ts";
import { GraphBuilder } from "../../../backend/model/graph-builder.ts";
import { mergeAdapter, openAdapter } from "../../../backend/model/lora.ts";
import { writeModel } from "../../../backend/model/onnx-writer.ts";
import { openWeightFolder } from "../../../backend/model/safetensors.ts";
import { addCrossKeyValues, addDecoderStep, addEmptyCache } from "../../../backend/model/text-graph.ts";
import { addVisionEncoder, encodedTokens } from "../../../backend/model/vision-graph.ts";
import {
  largestDifference,
  readTinyReference,
  TINY_ADAPTER,
  TINY_BASE,
  temporaryFolder,
} from "../../support/tiny-blip.ts";

/** The encoder and one decoder step as a graph of their own, their inner values as outputs. */
async function runFirstStep(pixels: Uint8Array, shape: readonly number[], adapted: boolean) {
  const config = await readBlipConfig(TINY_BASE.folder);
  const preprocessing = { ...(await readPreprocessing(TINY_BASE.folder)), size: shape[2] as number };
  const base = await openWeightFolder(TINY_BASE.folder, "model");
  const weights = adapted ? mergeAdapter(base, await openAdapter(TINY_ADAPTER.folder)) : base;

  const graph = GraphBuilder.root("first_step", weights, "float");
  const input = graph.input("pixels", "uint8", ["batch", 3, preprocessing.size, preprocessing.size]);
  const encoded = addVisionEncoder(graph, weights, config.vision_config, preprocessing, input);
  const text = config.text_config;
  const batch = graph.op("Shape", [input], { start: 0, end: 1 });
  const { logits } = addDecoderStep(graph, text, {
    token: graph.op("Expand", [graph.ints(text.bos_token_id), batch]),
    position: graph.ints(0),
    cache: addEmptyCache(graph, text, batch),
    cross: addCrossKeyValues(graph, text, encoded, encodedTokens(config.vision_config, preprocessing)),
  });
  graph.output(encoded, "encoder", "float", ["tokens", config.vision_config.hidden_size]);
  graph.output(logits, "logits", "float", ["batch", text.vocab_size]);

  const path = join(await temporaryFolder(), "first-step.onnx");
  await writeModel(graph.build(), path);
  const session = await InferenceSession.create(path);
  const { encoder, logits: first } = await session.run({ pixels: new Tensor("uint8", pixels, shape) });
  return { encoder: encoder?.data as Float32Array, logits: first?.data as Float32Array };
}

describe("the graph against transformers on the same pixels", () => {
  const reference = readTinyReference();

  test.each([
    ["the base", reference.base, false],
    ["the merged adapter", reference.adapted, true],
    ["a larger picture than trained (interpolated positions)", reference.larger, false],
  ])("%s: encoder within 1e-4, first logits within 1e-3", async (_, expected, adapted) => {
    const { encoder, logits } = await runFirstStep(expected.pixels, expected.shape, adapted);
    expect(largestDifference(encoder, expected.encoder)).toBeLessThan(1e-4);
    expect(largestDifference(logits, expected.first_logits)).toBeLessThan(1e-3);
  });
});
