import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { expect, test } from "vitest";
import type { Dtype } from "../../../../backend/bundle/bundle.ts";
import { type BlipConfig, readBlipConfig } from "../../../../backend/model/blip/config.ts";
import { addEncodedPictures, type EncodedPictures } from "../../../../backend/model/blip/encoded-pictures.ts";
import { type Preprocessing, readPreprocessing } from "../../../../backend/model/blip/preprocessing.ts";
import { addCrossKeyValues } from "../../../../backend/model/blip/text-graph.ts";
import { addEncoderLayers, addPictureEmbeddings } from "../../../../backend/model/blip/vision-graph.ts";
import { openMergedWeights } from "../../../../backend/model/build.ts";
import { GraphBuilder, type Value } from "../../../../backend/model/onnx/graph-builder.ts";
import { writeModel } from "../../../../backend/model/onnx/onnx-writer.ts";
import type { WeightSource } from "../../../../backend/model/weights/weights.ts";
import { largestDifference, TINY_BASE, temporaryFolder } from "../../../support/tiny-blip.ts";

/** 20 by 20 patches: so many rows that pictures are encoded one after another. */
const LARGE = 160;
const BATCH = 3;

type Encode = (
  graph: GraphBuilder,
  weights: WeightSource,
  config: BlipConfig,
  preprocessing: Preprocessing,
  pixels: Value,
) => EncodedPictures;

/** All pictures in one batch. */
const together: Encode = (graph, weights, config, preprocessing, pixels) => {
  const { vision_config: vision, text_config: text } = config;
  const embedded = addPictureEmbeddings(graph, weights, vision, preprocessing, pixels);
  const encoded = addEncoderLayers(graph, vision, preprocessing, embedded);
  return { encoded, cross: addCrossKeyValues(graph, text, encoded, 1 + (LARGE / vision.patch_size) ** 2) };
};

/** Runs `encode` on different pictures. @returns its values, and the operators of the root graph */
async function run(encode: Encode, size: number, dtype: Dtype) {
  const config = await readBlipConfig(TINY_BASE.folder);
  const preprocessing = { ...(await readPreprocessing(TINY_BASE.folder)), size };
  const weights = await openMergedWeights({ base: TINY_BASE }, config);
  const graph = GraphBuilder.root("encoded", weights, dtype);
  const input = graph.input("pixels", "uint8", ["batch", 3, size, size]);
  const { encoded, cross } = encode(graph, weights, config, preprocessing, input);
  const last = cross.at(-1);
  if (last === undefined) throw new Error("A decoder without layers.");
  graph.output(encoded, "encoder", "float", ["rows", config.vision_config.hidden_size]);
  graph.output(last.key, "key", "float", ["batch", "heads", "width", "tokens"]);
  graph.output(last.value, "value", "float", ["batch", "heads", "tokens", "width"]);
  const built = graph.build();
  const path = join(await temporaryFolder(), "encoded.onnx");
  await writeModel(built, path);
  const session = await InferenceSession.create(path);
  const shape = [BATCH, 3, size, size];
  const pixels = Uint8Array.from({ length: BATCH * 3 * size * size }, (_, i) => (i * 7919 + (i >> 9)) % 251);
  const values = await session.run({ pixels: new Tensor("uint8", pixels, shape) });
  return { values, operators: new Set(built.nodes.map(({ type }) => type)) };
}

test("large pictures in eight bits give the same one after another as together", async () => {
  const [one, all] = [await run(addEncodedPictures, LARGE, "int8"), await run(together, LARGE, "int8")];
  expect([one.operators.has("Scan"), all.operators.has("Scan")]).toEqual([true, false]);
  for (const name of ["encoder", "key", "value"]) {
    expect(one.values[name]?.dims).toEqual(all.values[name]?.dims);
    const [ours, expected] = [one, all].map(({ values }) => values[name]?.data as Float32Array);
    expect(largestDifference(ours as Float32Array, expected as Float32Array)).toBeLessThan(1e-4);
  }
});

test.each([
  ["small ones", 32, "int8"],
  ["float32", LARGE, "fp32"],
] as const)("%s stay a batch", async (_, size, dtype) => {
  expect((await run(addEncodedPictures, size, dtype)).operators.has("Scan")).toBe(false);
});
