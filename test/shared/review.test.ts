import { describe, expect, test } from "vitest";
import { judgeCaption, weightedScore, wordsOf } from "../../shared/review.ts";

describe("judgeCaption", () => {
  const judge = (caption: string, score: number) =>
    judgeCaption({ caption, score }, { below: 0.6, weights: null });

  test("asks for review under the threshold, on loops and on nothing said", () => {
    expect(judge("a dog", 0.6)).toEqual({ score: 0.6, needs_review: false });
    expect(judge("a dog", 0.59).needs_review).toBe(true);
    expect(judge("a dog a dog a dog", 0.9).needs_review).toBe(true);
    expect(judge("", 0.9).needs_review).toBe(true);
  });

  test("if there are weights, the threshold applies to the score that they make", () => {
    const weights = { intercept: 0, log_probability: 1, words: { dog: 1, crowd: -1 } };
    const rule = { below: 0.5, weights };
    expect(judgeCaption({ caption: "A dog.", score: 1 }, rule)).toEqual({
      score: 0.731059,
      needs_review: false,
    });
    expect(judgeCaption({ caption: "a crowd", score: 1 }, rule).needs_review).toBe(true);
  });

  test("a score has six digits, so a picture alone and in a batch gets the same one, although the last bits differ", () => {
    const judgements = [0.37999886285699536, 0.37999887084530765].map((score) => judge("a cat", score));
    expect(judgements).toEqual(Array(2).fill({ score: 0.379999, needs_review: true }));
    expect(judge("a cat", 0.5999996)).toEqual({ score: 0.6, needs_review: false });
  });

  test("weights that ask for a picture score judge no caption without one", () => {
    const rule = { below: 0.1, weights: { intercept: 9, log_probability: 0, picture_score: 1, words: {} } };
    expect(judgeCaption({ caption: "a dog", score: 0.9, picture_score: 0.5 }, rule).needs_review).toBe(false);
    expect(judgeCaption({ caption: "a dog", score: 0.9 }, rule)).toEqual({ score: 0.9, needs_review: true });
  });
});

describe("weightedScore", () => {
  const weights = { intercept: 1, log_probability: 2, words: { dog: 0.5 } };

  test("adds the logarithm of the probability and each different word once", () => {
    const logit = (caption: string, score: number) => {
      const weighted = weightedScore({ caption, score }, weights);
      return Math.log(weighted / (1 - weighted));
    };
    expect(logit("a cat", 1)).toBeCloseTo(1);
    expect(logit("a cat", Math.exp(-1))).toBeCloseTo(-1);
    expect(logit("a dog and a dog", 1)).toBeCloseTo(1.5);
  });

  test("adds the picture head's score, if there is one", () => {
    const logit = (picture_score?: number) => {
      const said = { caption: "a cat", score: 1, ...(picture_score !== undefined && { picture_score }) };
      const weighted = weightedScore(said, { ...weights, picture_score: 4 });
      return Math.log(weighted / (1 - weighted));
    };
    expect(logit(0.5)).toBeCloseTo(3);
    expect(logit()).toBeCloseTo(1);
    expect(weightedScore({ caption: "a cat", score: 1, picture_score: 9 }, weights)).toBeCloseTo(
      weightedScore({ caption: "a cat", score: 1 }, weights),
    );
  });

  test("a captioner that gives no probability still gets a number, and names of object members are only words", () => {
    expect(weightedScore({ caption: "a dog", score: 0 }, weights)).toBeGreaterThan(0);
    expect(weightedScore({ caption: "a constructor", score: 1 }, weights)).toBeCloseTo(
      1 / (1 + Math.exp(-1)),
    );
  });
});

test("wordsOf ignores case and punctuation", () => {
  expect([...wordsOf("A dog, a Hund: 'grün'")]).toEqual(["a", "dog", "hund", "grün"]);
});
