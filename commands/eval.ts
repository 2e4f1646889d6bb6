/** `npm run -s eval`: captions a labelled set and scores the captions against what people wrote. */

import { writeFile } from "node:fs/promises";
import * as z from "zod";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { createCaptionClient } from "../client/index.ts";
import { type CaptionSource, captionsOverHttp, type Evaluation, evaluate } from "../evaluation/evaluate.ts";
import { readLabels } from "../evaluation/labels.ts";
import { renderReport } from "../evaluation/report.ts";
import { CommandError, parseCommandLine, progressLine, runCommand } from "./command-line.ts";

const USAGE = `usage: npm run -s eval -- --images DIR --captions FILE.jsonl [--split NAME] [--url API [--key KEY]] [--bundle DIR]
                              [--report FILE.html] [--json]
  --captions  lines of {"image": "NAME.jpg", "split": "dev", "captions": ["...", ...]}
  --report    also write a page: scores, calibration, best and worst pictures with what people said
  --url       score a running API instead of a bundle in this process`;

const Options = z.object({
  files: z.array(z.string()).max(0, "expected no arguments without an option"),
  images: z.string(),
  captions: z.string(),
  split: z.string().optional(),
  url: z.url({ protocol: /^https?$/ }).optional(),
  key: z.string().optional(),
  bundle: z.string().optional(),
  report: z.string().optional(),
  json: z.boolean().default(false),
});

async function main(): Promise<number> {
  const text = { type: "string" } as const;
  const options = parseCommandLine(
    USAGE,
    {
      images: text,
      captions: text,
      split: text,
      url: text,
      key: text,
      bundle: text,
      report: text,
      json: { type: "boolean" },
    },
    Options,
  );
  const set = await readLabels(options.captions, options.split);
  const local = options.url === undefined ? await inProcess(options.bundle) : undefined;
  const source =
    local ??
    captionsOverHttp(
      createCaptionClient({
        baseUrl: options.url ?? "",
        ...(options.key === undefined ? {} : { apiKey: options.key }),
      }),
    );
  const evaluation = await evaluate({
    set,
    folder: options.images,
    source,
    onFailure: (image, error) => console.error(`${image}: ${error instanceof Error ? error.message : error}`),
  });
  await local?.close();
  if (evaluation === undefined) throw new CommandError("No picture could be captioned.");
  if (options.report) await writeFile(options.report, await renderReport(evaluation));
  print(evaluation, options.json);
  return evaluation.failed > 0 ? 1 : 0;
}

/** A bundle in this process as a source; close it when done. */
async function inProcess(bundle: string | undefined): Promise<CaptionSource & { close(): Promise<void> }> {
  const { captioner, engine } = await openLocalCaptioner(bundle, {
    onProgress: progressLine("Building the embedded model"),
  });
  const { id, revision } = captioner.model;
  return {
    async caption(bytes) {
      const result = await captioner.caption(bytes);
      if (!result.ok) throw new Error(`${result.failure.detail} (${result.failure.code})`);
      return result.value;
    },
    model: () => ({ id, revision }),
    close: () => engine.close(),
  };
}

function print({ pictures, ...evaluation }: Evaluation, json: boolean): void {
  const { model, failed, images_per_second, scores, calibration } = evaluation;
  if (json) {
    console.log(JSON.stringify({ images: pictures.length, ...evaluation }));
    return;
  }
  console.log(`${model?.id} revision ${model?.revision}`);
  console.log(`${pictures.length} pictures, ${failed} failed, ${images_per_second.toFixed(1)} pictures/s`);
  for (const [name, value] of Object.entries(scores)) console.log(`${name.padEnd(8)} ${value.toFixed(4)}`);
  console.log(
    `rank correlation of the model's score with CIDEr-D: ${calibration.rank_correlation.toFixed(3)}`,
  );
}

await runCommand(main);
