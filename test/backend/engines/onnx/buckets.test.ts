import { expect, test } from "vitest";
import { bucketsUpTo, fillBucket } from "../../../../backend/engines/onnx/buckets.ts";

test.each([
  [1, [1]],
  [2, [1, 2]],
  [8, [1, 2, 4, 8]],
  [12, [1, 2, 4, 8, 12]],
])("buckets up to %i", (maxBatchSize, buckets) => {
  expect(bucketsUpTo(maxBatchSize)).toEqual(buckets);
});

test("a batch is filled with its last row", () => {
  const filled = fillBucket(Uint8Array.of(1, 2, 3, 4, 5, 6), 3, [1, 2, 4]);
  expect(filled).toEqual({ pixels: Uint8Array.of(1, 2, 3, 4, 5, 6, 5, 6), rows: 4 });
});

test("a batch of a bucket's size is left alone, and so is one past the last", () => {
  const pixels = Uint8Array.of(1, 2);
  expect(fillBucket(pixels, 2, [1, 2]).pixels).toBe(pixels);
  expect(fillBucket(pixels, 2, [1])).toEqual({ pixels, rows: 2 });
});
