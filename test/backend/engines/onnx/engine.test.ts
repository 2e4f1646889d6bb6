import { describe, expect, test } from "vitest";
import type { Engine } from "../../../../backend/engines/engine.ts";
import { createOnnxEngine } from "../../../../backend/engines/onnx/engine.ts";
import {
  largestDifference,
  readTinyReference,
  type TinyBundleOptions,
  tinyBundle,
} from "../../../support/tiny-blip.ts";

const reference = readTinyReference();
const EOS = 3;
const greedy = { maxNewTokens: 10, numBeams: 1, promptIds: [] };

async function tinyEngine(options?: TinyBundleOptions): Promise<Engine> {
  return createOnnxEngine({ bundle: await tinyBundle(options), threads: 1 });
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

  test.each([
    ["the base", reference.base, {}],
    ["the merged adapter", reference.adapted, { adapted: true }],
  ])("%s: the beams of transformers' generate", async (_, expected, options) => {
    const engine = await tinyEngine(options);
    for (const [beams, ids] of Object.entries(expected.beam_token_ids)) {
      const numBeams = Number(beams);
      const rows = await engine.generate(expected.pixels, expected.shape[0], { ...greedy, numBeams });
      expect(rows.map((row) => row.tokenIds)).toEqual(ids.map(upToEnd));
    }
  });

  test.each([
    ["the base", reference.base, {}],
    ["the merged adapter", reference.adapted, { adapted: true }],
    ["a larger picture", reference.larger, { imageSize: 64 }],
  ])(
    "%s: the graph of a GPU, here on the CPU, says what fp32 does, but for fp16's rounding",
    async (_, expected, options) => {
      const engine = await tinyEngine({ ...options, dtype: "fp16" });
      const exact = await tinyEngine({ ...options, dtype: "fp32" });
      const { pixels, shape, prompt_ids } = expected;
      const mean = (logs: readonly number[]) => logs.reduce((sum, log) => sum + log, 0) / logs.length;
      const isSame: boolean[] = [];
      for (const numBeams of [1, 2, 3]) {
        for (const promptIds of [[], prompt_ids]) {
          const decoding = { ...greedy, numBeams, promptIds };
          const rows = await engine.generate(pixels, shape[0], decoding);
          const wanted = await exact.generate(pixels, shape[0], decoding);
          wanted.forEach(({ tokenIds, logProbabilities }, i) => {
            const row = rows[i];
            if (numBeams === 1) expect(row?.tokenIds).toEqual(tokenIds);
            isSame.push(row?.tokenIds.join() === tokenIds.join());
            if (!isSame.at(-1)) return;
            expect(Math.abs(mean(row?.logProbabilities ?? []) - mean(logProbabilities))).toBeLessThan(0.03);
          });
        }
      }
      // Of two beams nearly as likely, rounding may drop the other, with all that would have come behind it.
      expect(isSame.filter(Boolean).length / isSame.length).toBeGreaterThan(0.75);
    },
  );

  test("beams after a prompt", async () => {
    const engine = await tinyEngine();
    const { pixels, shape, prompt_ids: promptIds, prompted_beam_token_ids } = reference.base;
    const rows = await engine.generate(pixels, shape[0], { ...greedy, numBeams: 3, promptIds });
    expect(rows.map((row) => row.tokenIds)).toEqual(prompted_beam_token_ids.map(upToEnd));
  });

  test("one beam's probabilities are those of greedy decoding; more beams find no less likely a text", async () => {
    const engine = await tinyEngine();
    const { pixels, shape } = reference.adapted;
    const mean = (logs: readonly number[]) => logs.reduce((sum, log) => sum + log, 0) / logs.length;
    const one = await engine.generate(pixels, shape[0], greedy);
    const eight = await engine.generate(pixels, shape[0], { ...greedy, numBeams: 8 });
    const total = (rows: typeof one) => rows.reduce((sum, row) => sum + mean(row.logProbabilities), 0);
    expect(total(eight)).toBeGreaterThanOrEqual(total(one));
  });

  test("a prompt is forced and left out of the answer", async () => {
    const engine = await tinyEngine();
    const { pixels, shape, prompt_ids: promptIds, prompted_token_ids } = reference.base;
    const rows = await engine.generate(pixels, shape[0], { ...greedy, promptIds });
    expect(rows.map((row) => row.tokenIds)).toEqual(prompted_token_ids.map(upToEnd));
  });

  test.each([
    ["fp32", 1],
    ["fp32", 3],
    ["fp16", 1],
    ["int8", 1],
    ["int8", 3],
  ] as const)("a row does not depend on the rows beside it: %s, %i beams", async (dtype, numBeams) => {
    const engine = await tinyEngine({ adapted: true, dtype });
    const { pixels, shape } = reference.adapted;
    const together = await engine.generate(pixels, shape[0], { ...greedy, numBeams });
    const bytes = pixels.length / shape[0];
    for (let row = 0; row < shape[0]; row++) {
      const [alone] = await engine.generate(pixels.slice(row * bytes, (row + 1) * bytes), 1, {
        ...greedy,
        numBeams,
      });
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
