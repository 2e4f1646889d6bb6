import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { createOnnxEngine } from "../../../../backend/engines/onnx/engine.ts";
import { readBlipConfig, type StemConfig } from "../../../../backend/model/blip/config.ts";
import { readPreprocessing } from "../../../../backend/model/blip/preprocessing.ts";
import { addStem } from "../../../../backend/model/blip/stem-graph.ts";
import { buildBundle } from "../../../../backend/model/build.ts";
import { GraphBuilder } from "../../../../backend/model/onnx/graph-builder.ts";
import { writeModel } from "../../../../backend/model/onnx/onnx-writer.ts";
import { openWeightFolder } from "../../../../backend/model/weights/safetensors.ts";
import { runFirstStep } from "../../../support/first-step.ts";
import {
  largestDifference,
  readHybridReference,
  TINY_HYBRID,
  temporaryFolder,
  tinyBundle,
} from "../../../support/tiny-blip.ts";

const reference = readHybridReference();
const greedy = { maxNewTokens: 10, numBeams: 1, promptIds: [] };

/** The stem alone; pixels normalized here. */
async function runStem(pixels: Uint8Array, shape: readonly number[]): Promise<Tensor> {
  const { vision_config } = await readBlipConfig(TINY_HYBRID.folder);
  const { mean, std } = await readPreprocessing(TINY_HYBRID.folder);
  const weights = await openWeightFolder(TINY_HYBRID.folder, "model");
  const graph = GraphBuilder.root("stem", weights, "fp32");
  const picture = graph.input("picture", "float", shape);
  const module = "vision_model.embeddings.patch_embedding.stem";
  const map = addStem(graph, weights, vision_config.stem as StemConfig, module, picture);
  graph.output(map, "map", "float", reference.stem.shape);
  const path = join(await temporaryFolder(), "stem.onnx");
  await writeModel(graph.build(), path);
  const session = await InferenceSession.create(path);
  const plane = (shape[2] as number) * (shape[3] as number);
  const values = Float32Array.from(pixels, (byte, i) => {
    const channel = Math.floor(i / plane) % 3;
    return (byte / 255 - (mean[channel] as number)) / (std[channel] as number);
  });
  const { map: answer } = await session.run({ picture: new Tensor("float32", values, shape) });
  return answer as Tensor;
}

describe("a convolutional stem against PyTorch on the same pixels", () => {
  test("the stem's map within 1e-4, batch normalization folded", async () => {
    const { pixels, shape } = reference.base;
    const map = await runStem(pixels, shape);
    expect(map.dims).toEqual(reference.stem.shape);
    const sampled = (map.data as Float32Array).filter((_, i) => i % 8 === 0);
    expect(largestDifference(sampled, reference.stem.every_8th)).toBeLessThan(1e-4);
  });

  test.each([
    ["the trained size", reference.base],
    ["a larger picture (interpolated positions)", reference.larger],
  ])("%s: encoder within 1e-4, first logits within 1e-3", async (_, expected) => {
    const model = { base: TINY_HYBRID, adapter: undefined };
    const { encoder, logits } = await runFirstStep(model, expected.pixels, expected.shape);
    expect(largestDifference(encoder, expected.encoder)).toBeLessThan(1e-4);
    expect(largestDifference(logits, expected.first_logits)).toBeLessThan(1e-3);
  });

  test("the tokens of transformers' generate", async () => {
    const engine = await createOnnxEngine({ bundle: await tinyBundle({ base: TINY_HYBRID }), threads: 1 });
    const { pixels, shape, token_ids } = reference.base;
    const rows = await engine.generate(pixels, shape[0], greedy);
    expect(rows.map((row) => row.tokenIds)).toEqual(token_ids);
  });

  test.each(["fp16", "int8"] as const)(
    "%s runs, and says nearly the same of the first token",
    async (dtype) => {
      const bundle = await tinyBundle({
        base: TINY_HYBRID,
        dtype,
        device: dtype === "fp16" ? "cuda" : "cpu",
      });
      const engine = await createOnnxEngine({ bundle, threads: 1 });
      const { pixels, shape, token_ids, log_probabilities } = reference.base;
      const rows = await engine.generate(pixels, shape[0], greedy);
      expect(rows.map((row) => row.tokenIds[0])).toEqual(token_ids.map((ids) => ids[0]));
      rows.forEach((row, i) => {
        expect(row.logProbabilities[0]).toBeCloseTo(log_probabilities[i]?.[0] as number, 0);
      });
    },
  );
});

test("a stem whose cells do not match the patches is refused", async () => {
  const folder = await temporaryFolder();
  await cp(TINY_HYBRID.folder, folder, { recursive: true });
  const path = join(folder, "config.json");
  const config = JSON.parse(await readFile(path, "utf8"));
  Object.assign(config.vision_config, { patch_size: 16, image_size: 2 * config.vision_config.image_size });
  await writeFile(path, JSON.stringify(config));
  const out = join(await temporaryFolder(), "bundle");
  await expect(buildBundle({ base: { id: "x", folder }, dtypes: ["fp32"], out })).rejects.toThrow(
    "The stem's cells are 8 pixels wide, but config.json has patches of 16.",
  );
});
