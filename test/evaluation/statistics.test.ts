import { describe, expect, test } from "vitest";
import { areaUnderCurve, rankCorrelation } from "../../evaluation/statistics.ts";

describe("rankCorrelation", () => {
  test("only the order counts", () => {
    expect(rankCorrelation([1, 2, 3], [1, 10, 1000])).toBeCloseTo(1);
    expect(rankCorrelation([1, 2, 3], [9, 8, 0])).toBeCloseTo(-1);
  });

  test("equal values share the mean of their ranks", () => {
    expect(rankCorrelation([1, 2, 2, 3], [1, 2, 3, 4])).toBeCloseTo(0.948683, 6);
  });

  test("0 if one side does not vary", () => {
    expect(rankCorrelation([5, 5, 5], [1, 2, 3])).toBe(0);
  });
});

describe("areaUnderCurve", () => {
  test("the share of pairs in which the good one scores more, equal scores counted half", () => {
    expect(areaUnderCurve([0.9, 0.6, 0.5, 0.1], [true, false, true, false])).toBe(0.75);
    expect(areaUnderCurve([1, 1, 1], [false, true, true])).toBe(0.5);
  });

  test("null where there is nothing to tell apart", () => {
    expect(areaUnderCurve([0.3, 0.4], [true, true])).toBeNull();
    expect(areaUnderCurve([0.3, 0.4], [false, false])).toBeNull();
  });
});
