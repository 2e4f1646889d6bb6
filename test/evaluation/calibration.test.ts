import { describe, expect, test } from "vitest";
import { calibrate } from "../../evaluation/calibration.ts";

describe("calibrate", () => {
  test("a score that orders pictures as people do correlates fully", () => {
    const judged = [0.1, 0.3, 0.52, 0.9].map((score) => ({ score, cider: score ** 3, rouge: score }));
    const { bins, rank_correlation } = calibrate(judged);
    expect(rank_correlation).toBeCloseTo(1);
    expect(bins.reduce((sum, bin) => sum + bin.pictures, 0)).toBe(4);
    expect(bins.find((bin) => bin.from === 0.5)).toMatchObject({ pictures: 1, cider: 0.52 ** 3 });
  });

  test("a score that is always the same says nothing; a score of 1 has a bin", () => {
    const { bins, rank_correlation, area_under_curve } = calibrate(
      [0, 1, 2].map((cider) => ({ score: 1, cider, rouge: cider })),
    );
    expect(rank_correlation).toBe(0);
    expect(bins.at(-1)).toMatchObject({ pictures: 3, cider: 1, good: 2 / 3 });
    expect(area_under_curve).toBe(0.5);
  });

  test("the area under the curve: how often a good caption scores more than one that is not", () => {
    const judged = [
      { score: 0.9, cider: 1, rouge: 0.6 },
      { score: 0.6, cider: 0, rouge: 0.2 },
      { score: 0.5, cider: 0.5, rouge: 0.5 },
      { score: 0.1, cider: 0.4, rouge: 0.3 },
    ];
    expect(calibrate(judged).area_under_curve).toBe(0.75);
    expect(calibrate(judged.slice(0, 1)).area_under_curve).toBeNull();
  });

  test("coverage: the quality of what is left when the least scores are flagged", () => {
    const judged = Array.from({ length: 10 }, (_, i) => ({ score: i / 10, cider: i, rouge: i / 10 }));
    const half = calibrate(judged).coverage.find(({ flagged_share }) => flagged_share === 0.5);
    expect(half).toMatchObject({ from_score: 0.5, cider: 7 });
  });

  test("coverage: of ten pictures each tenth flags one more", () => {
    const judged = Array.from({ length: 10 }, (_, i) => ({ score: i / 10, cider: i, rouge: i / 10 }));
    const { coverage } = calibrate(judged);
    expect(coverage.map(({ from_score }) => from_score)).toEqual(judged.map(({ score }) => score));
    expect(coverage.map(({ flagged_share }) => flagged_share)).toEqual(judged.map(({ score }) => score));
  });
});
