import { describe, expect, test } from "vitest";
import { runFirstStep } from "../../support/first-step.ts";
import { largestDifference, readTinyReference, TINY_ADAPTER, TINY_BASE } from "../../support/tiny-blip.ts";

describe("the graph against transformers on the same pixels", () => {
  const reference = readTinyReference();

  test.each([
    ["the base", reference.base, undefined],
    ["the merged adapter", reference.adapted, TINY_ADAPTER],
    ["a larger picture than trained (interpolated positions)", reference.larger, undefined],
  ])("%s: encoder within 1e-4, first logits within 1e-3", async (_, expected, adapter) => {
    const { encoder, logits } = await runFirstStep(
      { base: TINY_BASE, adapter },
      expected.pixels,
      expected.shape,
    );
    expect(largestDifference(encoder, expected.encoder)).toBeLessThan(1e-4);
    expect(largestDifference(logits, expected.first_logits)).toBeLessThan(1e-3);
  });
});
