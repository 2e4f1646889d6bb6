import { describe, expect, test } from "vitest";
import { createRandom } from "../../evaluation/random.ts";
import { referenceLevels } from "../../evaluation/reference-levels.ts";
import { calibrateReview, lowestThreshold, type ScoredCaption } from "../../evaluation/review-threshold.ts";

/** Quality that rises with the score, and noise that does not. */
function captions(count: number, quality: (score: number) => number): ScoredCaption[] {
  const random = createRandom(1);
  return Array.from({ length: count }, () => {
    const score = random();
    return { score, rouge: Math.min(1, Math.max(0, quality(score) + 0.2 * (random() - 0.5))) };
  });
}

describe("lowestThreshold", () => {
  test("keeps what is good enough, with a margin for what the set cannot tell", () => {
    const rising = captions(1000, (score) => score);
    // The mean of what scores from t on is (1 + t) / 2.
    const threshold = lowestThreshold(rising, 0.8, createRandom(2)) as number;
    expect(threshold).toBeGreaterThan(0.6);
    expect(threshold).toBeLessThan(0.68);
    const few = lowestThreshold(
      captions(100, (score) => score),
      0.8,
      createRandom(2),
    ) as number;
    expect(few).toBeGreaterThan(threshold);
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
    expect(lucky.filter(({ score }) => score > 0.98).length).toBeLessThan(20);
    expect(lowestThreshold(lucky, 0.6, createRandom(2))).toBeUndefined();
  });

  test("equal scores are on the same side", () => {
    const alike = captions(500, (score) => score).map(({ rouge }) => ({ score: 0.5, rouge }));
    expect(lowestThreshold(alike, 0.4, createRandom(2))).toBe(0.5);
    expect(lowestThreshold(alike, 0.6, createRandom(2))).toBeUndefined();
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
  });
});

describe("calibrateReview", () => {
  const references = ["a dog runs on the beach", "a brown dog runs"];

  test("says where it was measured and how it does on pictures it was not set on; always the same", () => {
    const pictures = captions(400, (score) => score).map((caption) => ({ ...caption, references }));
    const { review, wanted, held_out } = calibrateReview(pictures, "set, dev");
    expect(review).toMatchObject({ measured_on: "set, dev", pictures: 400 });
    expect(review.quality_above).toBeGreaterThan(wanted - 0.02);
    expect(held_out).toMatchObject({ halves: 40, all_flagged: 0 });
    expect(held_out.reached).toBeGreaterThan(0.8);
    expect(calibrateReview(pictures, "set, dev").review).toEqual(review);
  });

  test("a score that says nothing flags everything", () => {
    const pictures = captions(400, () => 0.3).map((caption) => ({ ...caption, references }));
    const { review, held_out } = calibrateReview(pictures, "set");
    expect(review).toMatchObject({ below: 1, flagged_share: 1, quality_above: null });
    expect(held_out).toMatchObject({ all_flagged: 40, reached: null });
  });
});
