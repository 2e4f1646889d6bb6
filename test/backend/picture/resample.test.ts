import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import createWabt from "wabt";
import { type ResampleFilter, resample } from "../../../backend/picture/resample.ts";
import { fromBase64, noisePicture, resizeReference } from "../../support/reference.ts";

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

test("the passes' memory grows for a large picture, and a small one after it comes out as before", () => {
  const small = () =>
    Buffer.from(resample(noisePicture(40, 30), { width: 16, height: 16, filter: "lanczos" }).data);
  const before = small();
  const large = { data: new Uint8Array(1600 * 1200 * 3).fill(7), width: 1600, height: 1200 };
  const made = resample(large, { width: 384, height: 384, filter: "bicubic" });
  expect(new Set(made.data)).toEqual(new Set([7]));
  expect(Buffer.compare(small(), before)).toBe(0);
});

test("the committed WebAssembly is what its source compiles to", async () => {
  const folder = new URL("../../../backend/picture/", import.meta.url);
  const wabt = await createWabt();
  const source = wabt.parseWat("resample.wat", readFileSync(new URL("resample.wat", folder), "utf8"));
  expect(Buffer.from(source.toBinary({}).buffer)).toEqual(readFileSync(new URL("resample.wasm", folder)));
});
