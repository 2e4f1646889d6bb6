import { expect, test } from "vitest";
import { type ResampleFilter, resample } from "../../backend/resample.ts";
import { fromBase64, noisePicture, resizeReference } from "../support/reference.ts";

test.each(resizeReference.raw)("$filter from $from to $to equals Pillow byte for byte", (row) => {
  const [width, height] = row.to;
  const made = resample(noisePicture(...row.from), { width, height, filter: row.filter as ResampleFilter });
  expect(made.width).toBe(width);
  expect(made.height).toBe(height);
  expect(Buffer.compare(made.data, fromBase64(row.rgb))).toBe(0);
});

test("a picture that has the size already is left alone", () => {
  const picture = noisePicture(9, 9);
  expect(resample(picture, { width: 9, height: 9, filter: "bicubic" })).toBe(picture);
});

test("a flat colour stays that colour at every size", () => {
  const data = new Uint8Array(50 * 33 * 3).fill(201);
  const made = resample({ data, width: 50, height: 33 }, { width: 16, height: 64, filter: "bicubic" });
  expect(new Set(made.data)).toEqual(new Set([201]));
});
