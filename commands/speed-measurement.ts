/** What `npm run -s bench -- engine --json` printed, as the documentation shows it. */

import * as z from "zod";

const Row = z.object({
  model: z.string(),
  dtype: z.enum(["fp32", "int8"]),
  batch: z.number().int().positive(),
  onnx_ms: z.number().positive(),
  floor_ms: z.number().positive(),
  of_floor: z.number().positive(),
  transformers: z.string(),
  transformers_ms: z.number().positive(),
  times_as_fast: z.number().positive(),
  slower_transformers_ms: z.record(z.string(), z.number().positive()),
});

export const SpeedMeasurement = z.object({
  processor: z.string(),
  threads: z.number().int().positive(),
  new_tokens: z.number().int().positive(),
  repeats: z.number().int().positive(),
  rows: z.array(Row).min(1),
});
export type SpeedMeasurement = z.infer<typeof SpeedMeasurement>;

/** Pictures per second by batch size, for one way of captioning with one model. */
export interface SpeedLine {
  readonly name: string;
  readonly ours: boolean;
  readonly points: readonly { readonly batch: number; readonly perSecond: number }[];
}

export interface ModelSpeed {
  readonly model: string;
  readonly lines: readonly SpeedLine[];
}

/** By model, ours first. */
export function speedByModel({ rows }: SpeedMeasurement): ModelSpeed[] {
  const models = new Set(rows.map(({ model }) => model));
  return [...models].map((model) => {
    const lines = new Map<string, { ours: boolean; points: Map<number, number> }>();
    const add = (name: string, ours: boolean, batch: number, ms: number) => {
      const line = lines.get(name) ?? { ours, points: new Map<number, number>() };
      line.points.set(batch, (1000 * batch) / ms);
      lines.set(name, line);
    };
    const ofModel = rows.filter((row) => row.model === model);
    for (const { dtype, batch, onnx_ms } of ofModel) add(`ours, ${dtype}`, true, batch, onnx_ms);
    for (const { batch, transformers, transformers_ms, slower_transformers_ms } of ofModel) {
      const theirs = { [transformers]: transformers_ms, ...slower_transformers_ms };
      for (const [variant, ms] of Object.entries(theirs)) add(`transformers, ${variant}`, false, batch, ms);
    }
    return {
      model,
      lines: Array.from(lines, ([name, { ours, points }]) => ({
        name,
        ours,
        points: Array.from(points, ([batch, perSecond]) => ({ batch, perSecond })).sort(
          (a, b) => a.batch - b.batch,
        ),
      })),
    };
  });
}

/** The measurement as a Markdown table, in milliseconds per batch. */
export function speedTable({ rows }: SpeedMeasurement): string {
  const cells = rows.map((row) => [
    row.model,
    row.dtype,
    String(row.batch),
    row.onnx_ms.toFixed(0),
    row.floor_ms.toFixed(0),
    row.of_floor.toFixed(2),
    `${row.transformers_ms.toFixed(0)} (${row.transformers})`,
    row.times_as_fast.toFixed(2),
  ]);
  const head = [
    ...["model", "precision", "batch", "ms a batch", "floor, ms", "floor / ms"],
    ...["the fastest of transformers, ms", "times as fast"],
  ];
  return [head, head.map(() => "---"), ...cells].map((row) => `| ${row.join(" | ")} |`).join("\n");
}
