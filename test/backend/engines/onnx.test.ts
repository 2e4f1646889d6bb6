import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Engine } from "../../../backend/engines/engine.ts";
import { createOnnxEngine } from "../../../backend/engines/onnx.ts";
import { buildBundle } from "../../../backend/model/build.ts";
import { openBundle } from "../../../backend/model/bundle.ts";
import {
  largestDifference,
  readTinyReference,
  TINY_ADAPTER,
  TINY_BASE,
  temporaryFolder,
} from "../../support/tiny-blip.ts";

const reference = readTinyReference();
const EOS = 3;
const greedy = { maxNewTokens: 10, numBeams: 1, promptIds: [] };

async function tinyEngine(options: { adapted?: boolean; imageSize?: number } = {}): Promise<Engine> {
  const out = join(await temporaryFolder(), "bundle");
  await buildBundle({
    base: TINY_BASE,
    ...(options.adapted ? { adapter: TINY_ADAPTER } : {}),
    ...(options.imageSize ? { imageSize: options.imageSize } : {}),
    dtype: "fp32",
    out,
  });
  return createOnnxEngine({ bundle: await openBundle(out), threads: 1 });
}

function upToEnd(ids: readonly number[]): number[] {
  const end = ids.indexOf(EOS);
  return end === -1 ? [...ids] : ids.slice(0, end + 1);
}

describe("createOnnxEngine", () => {
  test.each([
    ["the base", reference.base, {}],
    ["the merged adapter", reference.adapted, { adapted: true }],
    ["a larger picture", reference.larger, { imageSize: 64 }],
  ])("%s: the tokens and probabilities of transformers' generate", async (_, expected, options) => {
    const engine = await tinyEngine(options);
    const rows = await engine.generate(expected.pixels, expected.shape[0], greedy);
    expect(rows.map((row) => row.tokenIds)).toEqual(expected.token_ids.map(upToEnd));
    rows.forEach(({ logProbabilities }, i) => {
      const wanted = (expected.log_probabilities[i] as number[]).slice(0, logProbabilities.length);
      expect(largestDifference(logProbabilities, wanted)).toBeLessThan(1e-4);
    });
  });

  test("a prompt is forced and left out of the answer", async () => {
    const engine = await tinyEngine();
    const { pixels, shape, prompt_ids: promptIds, prompted_token_ids } = reference.base;
    const rows = await engine.generate(pixels, shape[0], { ...greedy, promptIds });
    expect(rows.map((row) => row.tokenIds)).toEqual(prompted_token_ids.map(upToEnd));
  });

  test("a row does not depend on the rows beside it", async () => {
    const engine = await tinyEngine();
    const { pixels, shape } = reference.base;
    const together = await engine.generate(pixels, shape[0], greedy);
    const bytes = pixels.length / shape[0];
    for (let row = 0; row < shape[0]; row++) {
      const [alone] = await engine.generate(pixels.slice(row * bytes, (row + 1) * bytes), 1, greedy);
      expect(alone?.tokenIds).toEqual(together[row]?.tokenIds);
    }
  });

  test("generation stops at the position table, whatever is asked for", async () => {
    const engine = await tinyEngine();
    const { pixels, shape } = reference.base;
    const rows = await engine.generate(pixels, shape[0], { ...greedy, maxNewTokens: 50 });
    expect(Math.max(...rows.map((row) => row.tokenIds.length))).toBe(16);
  });
});
