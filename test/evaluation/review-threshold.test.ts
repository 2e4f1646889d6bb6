import { describe, expect, test } from "vitest";
import { createRandom } from "../../evaluation/random.ts";
import { referenceLevels } from "../../evaluation/reference-levels.ts";
import {
  calibrateReview,
  lowestThreshold,
  neverRising,
  type ScoredCaption,
} from "../../evaluation/review-threshold.ts";

/** Quality that rises with the score, and noise that does not. */
function captions(count: number, quality: (score: number) => number): ScoredCaption[] {
  const random = createRandom(1);
  return Array.from({ length: count }, () => {
    const score = random();
    return { score, rouge: Math.min(1, Math.max(0, quality(score) + 0.2 * (random() - 0.5))) };
  });
}

describe("lowestThreshold", () => {
  test("goes down until the least sure are just good enough, with a margin for what the set cannot tell", () => {
    const threshold = lowestThreshold(
      captions(1000, (score) => score),
      0.6,
      createRandom(2),
    ) as number;
    expect(threshold).toBeGreaterThan(0.6);
    expect(threshold).toBeLessThan(0.65);
    const few = lowestThreshold(
      captions(200, (score) => score),
      0.6,
      createRandom(2),
    ) as number;
    expect(few).toBeGreaterThan(threshold - 0.02);
  });

  test("good captions do not make up for worse ones: a model that is good on the whole is still asked where it is unsure", () => {
    const set = captions(1000, (score) => (score < 0.3 ? 0.3 : 0.8));
    const threshold = lowestThreshold(set, 0.6, createRandom(2)) as number;
    expect(threshold).toBeGreaterThan(0.25);
    expect(threshold).toBeLessThan(0.35);
  });

  test("there is none where no captions are good enough, and none for a few lucky ones", () => {
    expect(
      lowestThreshold(
        captions(500, () => 0.3),
        0.5,
        createRandom(2),
      ),
    ).toBeUndefined();
    const lucky = captions(500, (score) => (score > 0.98 ? 0.9 : 0.3));
    expect(lowestThreshold(lucky, 0.6, createRandom(2))).toBeUndefined();
  });

  test("equal scores are on the same side", () => {
    const alike = captions(500, (score) => score).map(({ rouge }) => ({ score: 0.50006, rouge }));
    // Rounded up it would flag them all.
    expect(lowestThreshold(alike, 0.3, createRandom(2))).toBe(0.5);
    expect(lowestThreshold(alike, 0.6, createRandom(2))).toBeUndefined();
  });
});

describe("neverRising", () => {
  const of = (...groups: [sum: number, count: number][]) =>
    neverRising(groups.map(([sum, count]) => ({ sum, count })));

  test("pools values that rise, weighted by count; an empty group takes its neighbour's value", () => {
    expect(of([5, 1], [4, 1], [9, 2], [2, 1], [3, 1])).toEqual([5, 13 / 3, 13 / 3, 2.5, 2.5]);
    expect(of([0, 0], [9, 1], [6, 2], [0, 0])).toEqual([9, 9, 3, 3]);
    expect(of([1, 1], [2, 1], [6, 1])).toEqual([3, 3, 3]);
  });
});

describe("referenceLevels", () => {
  test("the best sentence for every picture, and a person against the others", () => {
    const said = [
      ["a dog runs", "a dog runs", "a dog"],
      ["a cat sits", "a cat sits", "a cat"],
      ["a dog sits", "a dog sits", "a dog"],
    ];
    const { constant, person } = referenceLevels(said);
    expect(constant).toBeGreaterThan(0.6);
    expect(person).toBeGreaterThan(constant);
    expect(person).toBeLessThan(1);
    // Nobody else has described the fourth picture.
    expect(referenceLevels([...said, ["a dog runs"]]).person).toBe(person);
  });
});

describe("calibrateReview", () => {
  const references = ["a dog runs on the beach", "a brown dog runs"];
  const said = (some: readonly ScoredCaption[]) =>
    some.map((caption) => ({ ...caption, caption: "a dog", cider: caption.rouge, references }));

  test("says where it was measured and how well it does on pictures it was not set on, the same every time", () => {
    const pictures = said(captions(400, (score) => score));
    const { review, wanted, held_out } = calibrateReview(pictures, "set, dev");
    expect(review).toMatchObject({ measured_on: "set, dev", pictures: 400 });
    expect(review.quality_above).toBeGreaterThan(wanted);
    expect(held_out).toMatchObject({ halves: 40, all_flagged: 0 });
    expect(held_out.least_sure).toBeGreaterThan(wanted);
    expect(calibrateReview(pictures, "set, dev").review).toEqual(review);
  });

  test("a score that says nothing flags everything", () => {
    const pictures = said(captions(400, () => 0.3));
    const { review, held_out } = calibrateReview(pictures, "set");
    expect(review).toMatchObject({ below: 1, flagged_share: 1, quality_above: null });
    expect(held_out).toMatchObject({ all_flagged: 40, least_sure: null });
  });
});
