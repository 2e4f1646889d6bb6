import { describe, expect, test } from "vitest";
import { speedChart } from "../../commands/speed-chart.ts";
import { type SpeedMeasurement, speedByModel, speedTable } from "../../commands/speed-measurement.ts";

const row = {
  model: "BLIP-base, 384 px",
  dtype: "int8",
  batch: 4,
  onnx_ms: 2_000,
  floor_ms: 1_500,
  of_floor: 0.75,
  transformers: "bfloat16",
  transformers_ms: 3_000,
  times_as_fast: 1.5,
  slower_transformers_ms: { float32: 8_000 },
} as const;
const measured: SpeedMeasurement = {
  processor: "a processor",
  threads: 2,
  new_tokens: 12,
  repeats: 5,
  rows: [row, { ...row, batch: 1, onnx_ms: 500, transformers: "float32", slower_transformers_ms: {} }],
};

test("rates are pictures per second, by way and batch size, ours first", () => {
  expect(speedByModel(measured)).toEqual([
    {
      model: "BLIP-base, 384 px",
      lines: [
        { name: "ours, int8", ours: true, points: points({ 1: 2, 4: 2 }) },
        { name: "transformers, bfloat16", ours: false, points: points({ 4: 4 / 3 }) },
        { name: "transformers, float32", ours: false, points: points({ 1: 1 / 3, 4: 0.5 }) },
      ],
    },
  ]);
});

test("the table names the fastest of transformers", () => {
  expect(speedTable(measured).split("\n")).toContain(
    "| BLIP-base, 384 px | int8 | 4 | 2000 | 1500 | 0.75 | 3000 (bfloat16) | 1.50 |",
  );
});

describe("the chart", () => {
  test("draws twice the pictures per second twice as high", async () => {
    const svg = await speedChart([
      {
        model: "any",
        lines: [{ name: "ours, fp32", ours: true, points: points({ 1: 10, 2: 20, 4: 0 }) }],
      },
    ]);
    const [first, second, nothing] = Array.from(svg.matchAll(/cy="([\d.]+)"/g), ([, y]) => Number(y));
    expect((nothing as number) - (second as number)).toBeCloseTo(
      2 * ((nothing as number) - (first as number)),
      0,
    );
  });

  test("says every name once in its legend, as text", async () => {
    const svg = await speedChart(speedByModel({ ...measured, rows: [{ ...row, transformers: "a<b" }] }));
    expect(svg.match(/>transformers, a&lt;b</g)).toHaveLength(1);
  });
});

function points(rates: Readonly<Record<number, number>>) {
  return Object.entries(rates).map(([batch, perSecond]) => ({ batch: Number(batch), perSecond }));
}
