import { cp } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { createOnnxEngine } from "../../../../backend/engines/onnx/engine.ts";
import { createTritonEngine } from "../../../../backend/engines/triton/engine.ts";
import { writeTritonRepository } from "../../../../backend/model/triton/repository.ts";
import { f32, writeSafetensors } from "../../../support/safetensors.ts";
import {
  largestDifference,
  readTinyReference,
  TINY_BASE,
  temporaryFolder,
  tinyBundle,
} from "../../../support/tiny-blip.ts";
import { startTritonStandIn } from "../../../support/triton-stand-in.ts";

const { base: reference } = readTinyReference();
const [rows] = reference.shape;
const greedy = { maxNewTokens: 4, numBeams: 1, promptIds: [] };
const BIAS = 0.25;
/** Of the tiny BLIP's config.json. */
const HIDDEN = 32;

/** What transformers' encoder gave, averaged over the tokens of each picture. */
const tokens = reference.encoder.length / rows / HIDDEN;
const means = Array.from({ length: rows }, (_, row) =>
  Array.from({ length: HIDDEN }, (_, unit) => {
    const values = Array.from(
      { length: tokens },
      (_, token) => reference.encoder[(row * tokens + token) * HIDDEN + unit] as number,
    );
    return values.reduce((sum, value) => sum + value, 0) / tokens;
  }),
);

const weight = Array.from({ length: HIDDEN }, (_, unit) => ((unit * 7) % 5) / 5 - 0.4);
const expected = means.map((mean) =>
  mean.reduce((sum, value, i) => sum + value * (weight[i] as number), BIAS),
);

/** The tiny BLIP with a head of `values` weights. */
async function withHead(values: readonly number[]) {
  const folder = join(await temporaryFolder(), "base");
  await cp(TINY_BASE.folder, folder, { recursive: true });
  await writeSafetensors(join(folder, "picture_head.safetensors"), {
    "picture_head.weight": f32([1, values.length], values),
    "picture_head.bias": f32([1], [BIAS]),
  });
  return { id: "tests/with-head", folder };
}

describe("a picture head", () => {
  test.each(["fp32", "int8"] as const)("%s: its layer on the mean of the encoder's output", async (dtype) => {
    const bundle = await tinyBundle({ base: await withHead(weight), dtype });
    expect(bundle.manifest.picture_head).toBe(true);
    const engine = await createOnnxEngine({ bundle, threads: 1 });
    const answers = await engine.generate(reference.pixels, rows, greedy);
    const scores = answers.map(({ pictureScore }) => pictureScore ?? Number.NaN);
    expect(largestDifference(scores, expected)).toBeLessThan(dtype === "fp32" ? 1e-4 : 0.1);
    await engine.close();
  });

  test.each([1, 3])("Triton's two models return its score too, %i beams", async (numBeams) => {
    const bundle = await tinyBundle({ base: await withHead(weight) });
    const folder = await temporaryFolder();
    await writeTritonRepository({ bundle, folder, model: "captioner", device: "cpu" });
    const server = await startTritonStandIn(folder);
    onTestFinished(() => server.kill());
    const endpoints: [string] = [server.endpoint];
    const engine = await createTritonEngine({ bundle, endpoints, model: "captioner", timeoutMs: 60_000 });
    onTestFinished(() => engine.close());
    const answers = await engine.generate(reference.pixels, rows, { ...greedy, numBeams });
    const scores = answers.map(({ pictureScore }) => pictureScore ?? Number.NaN);
    expect(largestDifference(scores, expected)).toBeLessThan(1e-4);
  });

  test("changes the revision and the base's hash, and a bundle without one gives no picture scores", async () => {
    const [plain, headed] = [await tinyBundle(), await tinyBundle({ base: await withHead(weight) })];
    expect(plain.manifest.picture_head).toBe(false);
    expect(headed.manifest.revision).not.toBe(plain.manifest.revision);
    expect(headed.manifest.base.sha256).not.toBe(plain.manifest.base.sha256);
    const engine = await createOnnxEngine({ bundle: plain, threads: 1 });
    const [answer] = await engine.generate(reference.pixels, rows, greedy);
    expect(answer).not.toHaveProperty("pictureScore");
    await engine.close();
  });

  test("a head made for another model is refused by its shape", async () => {
    const built = tinyBundle({ base: await withHead([1, 2, 3]) });
    await expect(built).rejects.toThrow(/'picture_head.weight' in .* is \[1,3\], expected \[1,\d+\]/);
  });
});
