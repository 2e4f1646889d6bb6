import { describe, expect, test } from "vitest";
import { calibrate } from "../../evaluation/calibration.ts";

describe("calibrate", () => {
  test("a score that orders pictures as people do correlates fully", () => {
    const judged = [0.1, 0.3, 0.52, 0.9].map((score) => ({ score, cider: score ** 3 }));
    const { bins, rank_correlation } = calibrate(judged);
    expect(rank_correlation).toBeCloseTo(1);
    expect(bins.reduce((sum, bin) => sum + bin.pictures, 0)).toBe(4);
    expect(bins.find((bin) => bin.from === 0.5)).toMatchObject({ pictures: 1, cider: 0.52 ** 3 });
  });

  test("a score that is always the same says nothing; a score of 1 has a bin", () => {
    const { bins, rank_correlation } = calibrate([0, 1, 2].map((cider) => ({ score: 1, cider })));
    expect(rank_correlation).toBe(0);
    expect(bins.at(-1)).toMatchObject({ pictures: 3, cider: 1 });
  });
});
