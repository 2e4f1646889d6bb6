/** Runs a model's encoder and first decoder step as a graph of their own, so that inner values can be compared. */

import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { readBlipConfig } from "../../backend/model/blip/config.ts";
import { addEncodedPictures } from "../../backend/model/blip/encoded-pictures.ts";
import { readPreprocessing } from "../../backend/model/blip/preprocessing.ts";
import { addDecoderStep, addEmptyCache, addLanguageHead } from "../../backend/model/blip/text-graph.ts";
import { openMergedWeights } from "../../backend/model/build.ts";
import { GraphBuilder } from "../../backend/model/onnx/graph-builder.ts";
import { writeModel } from "../../backend/model/onnx/onnx-writer.ts";
import type { ModelFolder } from "../../backend/model/weights/model-folder.ts";
import { temporaryFolder } from "./tiny-blip.ts";

/**
 * @param pixels uint8 of `shape`, [batch, 3, size, size]
 * @returns encoder [batch * tokens, hidden] and logits [batch, vocabulary] of the begin token
 */
export async function runFirstStep(
  { base, adapter }: { base: ModelFolder; adapter: ModelFolder | undefined },
  pixels: Uint8Array,
  shape: readonly number[],
): Promise<{ encoder: Float32Array; logits: Float32Array }> {
  const config = await readBlipConfig(base.folder);
  const preprocessing = { ...(await readPreprocessing(base.folder)), size: shape[2] as number };
  const weights = await openMergedWeights({ base, ...(adapter ? { adapter } : {}) }, config);

  const graph = GraphBuilder.root("first_step", weights, "fp32");
  const input = graph.input("pixels", "uint8", ["batch", 3, preprocessing.size, preprocessing.size]);
  const { encoded, cross } = addEncodedPictures(graph, weights, config, preprocessing, input);
  const text = config.text_config;
  const batch = graph.op("Shape", [input], { start: 0, end: 1 });
  const { hidden } = addDecoderStep(graph, text, {
    token: graph.op("Expand", [graph.ints(text.bos_token_id), batch]),
    position: graph.ints(0),
    cache: addEmptyCache(graph, text, batch),
    cross,
    rowsPerPicture: graph.ints([1]),
  });
  const logits = addLanguageHead(graph, text, hidden);
  graph.output(encoded, "encoder", "float", ["tokens", config.vision_config.hidden_size]);
  graph.output(logits, "logits", "float", ["batch", text.vocab_size]);

  const path = join(await temporaryFolder(), "first-step.onnx");
  await writeModel(graph.build(), path);
  const session = await InferenceSession.create(path);
  const { encoder, logits: first } = await session.run({ pixels: new Tensor("uint8", pixels, shape) });
  return { encoder: encoder?.data as Float32Array, logits: first?.data as Float32Array };
}
