import { describe, expect, test } from "vitest";
import { toCaption } from "../../shared/caption.ts";
import type { ReviewRule } from "../../shared/review.ts";

describe("toCaption", () => {
  const make = (caption: string, score: number, review: ReviewRule | undefined) =>
    toCaption({
      sha256: "0".repeat(64),
      generated: { caption, score, model: { id: "m", revision: "r" } },
      cached: false,
      maxLength: undefined,
      review,
    });

  test("shapes and judges what the model said", () => {
    expect(make("a picture of a dog", 0.7, { below: 0.6, weights: null })).toEqual({
      sha256: "0".repeat(64),
      caption: "a picture of a dog",
      alt: "A dog",
      score: 0.7,
      needs_review: false,
      model: { id: "m", revision: "r" },
      cached: false,
    });
  });

  test("asks for review of every caption of a model without a rule", () => {
    expect(make("a dog", 1, undefined).needs_review).toBe(true);
  });
});
