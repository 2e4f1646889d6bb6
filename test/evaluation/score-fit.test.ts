import { describe, expect, test } from "vitest";
import { createRandom } from "../../evaluation/random.ts";
import { fitScore, fitWeights, type ProbableCaption } from "../../evaluation/score-fit.ts";
import { rankCorrelation } from "../../evaluation/statistics.ts";
import { weightedScore } from "../../shared/review.ts";

const WORDS = ["dog", "crowd", "boat", "tree", "street"];

/** Captions of which `worth` says how good those with a word are. */
function pictures(count: number, worth: (word: string, probability: number) => number): ProbableCaption[] {
  const random = createRandom(3);
  return Array.from({ length: count }, (_, i) => {
    const word = WORDS[i % WORDS.length] as string;
    const score = 0.2 + 0.6 * random();
    return { caption: `a ${word} here`, score, cider: worth(word, score) + 0.3 * (random() - 0.5) };
  });
}

describe("fitScore", () => {
  test("words that say more than the probability raise and lower the score of captions outside the fit", () => {
    const set = pictures(500, (word, probability) => probability * (word === "dog" ? 1.2 : 0.4));
    const { weights, scores } = fitScore(set);
    expect(weights?.log_probability).toBeGreaterThan(0);
    expect(weights?.words.dog).toBeGreaterThan(0.2);
    expect(weights?.words.crowd).toBeLessThan(0);
    const ciders = set.map(({ cider }) => cider);
    expect(rankCorrelation(scores, ciders)).toBeGreaterThan(
      rankCorrelation(
        set.map(({ score }) => score),
        ciders,
      ) + 0.1,
    );
    expect(fitScore(set)).toEqual({ weights, scores });
  });

  test("the picture head counts only if every caption has its score", () => {
    const random = createRandom(5);
    const headed = pictures(400, () => 0).map((picture) => {
      const picture_score = random();
      return { ...picture, picture_score, cider: 0.2 + 0.6 * picture_score };
    });
    expect(fitScore(headed).weights?.picture_score).toBeGreaterThan(1);
    const [first, ...others] = headed as [ProbableCaption, ...ProbableCaption[]];
    const { picture_score: _, ...without } = first;
    expect(fitWeights([without, ...others])).not.toHaveProperty("picture_score");
  });

  test("a probability that is the same for every caption has no weight, even if its mean is a little off", () => {
    const headed = pictures(400, () => 0).map((picture, i) => {
      const picture_score = (i % 3) / 2;
      return { ...picture, score: 0.5, picture_score, cider: 0.2 + 0.6 * picture_score };
    });
    const { weights } = fitScore(headed);
    expect(weights).toMatchObject({ log_probability: 0 });
    expect(weights?.picture_score).toBeGreaterThan(1);
    expect(Math.abs(weights?.intercept ?? Number.NaN)).toBeLessThan(10);
  });

  test("the score is the expected CIDEr-D, drawn a little towards the mean", () => {
    const set = pictures(1000, (word) => (word === "dog" ? 0.8 : 0.3));
    const { scores } = fitScore(set);
    const meanOf = (word: string) => {
      const some = scores.filter((_, i) => set[i]?.caption.includes(word));
      return some.reduce((sum, score) => sum + score, 0) / some.length;
    };
    expect(meanOf("dog")).toBeGreaterThan(0.6);
    expect(meanOf("dog")).toBeLessThan(0.85);
    expect(meanOf("boat")).toBeGreaterThan(0.25);
    expect(meanOf("boat")).toBeLessThan(0.4);
  });

  test("is left out if the probability alone ranks unseen captions as well", () => {
    const set = pictures(300, (_, probability) => probability).map((picture) => ({
      ...picture,
      caption: "a dog",
    }));
    const exact = set.map((picture) => ({ ...picture, cider: picture.score }));
    const { weights, scores } = fitScore(exact);
    expect(weights).toBeNull();
    expect(scores).toEqual(exact.map(({ score }) => score));
  });
});

test("fitWeights: a word in few captions has no weight, and its zero does not fail", () => {
  const set = pictures(200, (_, probability) => probability);
  const rare = set.map((picture, i) => (i < 7 ? { ...picture, caption: "a zebra" } : picture));
  const weights = fitWeights(rare);
  expect(Object.keys(weights.words)).not.toContain("zebra");
  expect(weightedScore({ caption: "a zebra", score: 0.5 }, weights)).toBeGreaterThan(0);
});

test("fitWeights: a CIDEr-D above 1 counts as 1, as that of a good caption", () => {
  const set = pictures(200, (_, probability) => 2 * probability);
  const capped = set.map((picture) => ({ ...picture, cider: Math.min(1, picture.cider) }));
  expect(capped).not.toEqual(set);
  expect(fitWeights(set)).toEqual(fitWeights(capped));
});
