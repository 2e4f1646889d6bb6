/** `npm run -s eval`: captions a labelled set and scores the captions against what people wrote. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { type Calibration, calibrate } from "../evaluation/calibration.ts";
import { renderReport } from "../evaluation/report.ts";
import { ciderOfEach, type Scores, scoreCaptions } from "../evaluation/scores/score.ts";
import { Caption } from "../shared/schema.ts";
import { parseCommandLine, progressLine, runCommand, UsageError } from "./command-line.ts";

const USAGE = `usage: npm run -s eval -- --images DIR --captions FILE.jsonl [--split NAME] [--url API [--key KEY]] [--bundle DIR]
                              [--report FILE.html] [--json]
  --captions  lines of {"image": "NAME.jpg", "split": "dev", "captions": ["...", ...]}
  --report    also write a page: scores, calibration, best and worst pictures with what people said
  --url       score a running API instead of a bundle in this process`;

/** As many as the largest batch of the captioner, and some that decode meanwhile. */
const CONCURRENCY = 16;

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
type Options = z.infer<typeof Options>;

const LabelledImage = z.object({
  image: z.string(),
  split: z.string().optional(),
  captions: z.array(z.string()).min(1),
});
type LabelledImage = z.infer<typeof LabelledImage>;

interface Generated {
  readonly caption: string;
  readonly score: number;
}

interface Report {
  readonly images: number;
  readonly failed: number;
  readonly images_per_second: number;
  readonly model: { readonly id: string; readonly revision: string } | undefined;
  readonly scores: Scores;
  readonly calibration: Calibration;
}

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
  const set = await readLabels(options);
  const source = options.url ? overHttp(options.url, options.key) : await inProcess(options.bundle);
  const startedAt = performance.now();
  const captions = await mapConcurrently(set, async ({ image }) => {
    try {
      return await source.caption(new Uint8Array(await readFile(join(options.images, image))));
    } catch (error) {
      console.error(`${image}: ${error instanceof Error ? error.message : error}`);
      return undefined;
    }
  });
  const seconds = (performance.now() - startedAt) / 1000;
  await source.close();

  const captioned = set.flatMap(({ image, captions: references }, i) => {
    const generated = captions[i];
    return generated ? [{ image, candidate: generated.caption, score: generated.score, references }] : [];
  });
  if (captioned.length === 0) throw new UsageError("No picture could be captioned.");
  const ciders = ciderOfEach(captioned);
  const judged = captioned.map((picture, i) => ({ ...picture, cider: ciders[i] as number }));
  const report: Report = {
    images: captioned.length,
    failed: set.length - captioned.length,
    images_per_second: captioned.length / seconds,
    model: source.model(),
    scores: scoreCaptions(captioned),
    calibration: calibrate(judged),
  };
  if (options.report) {
    const pictures = judged.map(({ image, candidate, ...rest }) => ({
      path: join(options.images, image),
      caption: candidate,
      ...rest,
    }));
    const title = `${report.model?.id} ${report.model?.revision}`;
    await writeFile(options.report, await renderReport({ ...report, title, pictures }));
  }
  print(report, options.json);
  return report.failed > 0 ? 1 : 0;
}

async function readLabels({ captions: path, split }: Options): Promise<LabelledImage[]> {
  const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line.trim() !== "");
  const rows = lines.map((line, i) => {
    const parsed = LabelledImage.safeParse(JSON.parse(line));
    if (!parsed.success) throw new UsageError(`${path}, line ${i + 1}:\n${z.prettifyError(parsed.error)}`);
    return parsed.data;
  });
  const wanted = split === undefined ? rows : rows.filter((row) => row.split === split);
  if (wanted.length === 0) throw new UsageError(`${path} has no picture of the split '${split ?? "(any)"}'.`);
  return wanted;
}

interface CaptionSource {
  caption(bytes: Uint8Array<ArrayBuffer>): Promise<Generated>;
  /** Known once a caption was made. */
  model(): Report["model"];
  close(): Promise<void>;
}

async function inProcess(bundle: string | undefined): Promise<CaptionSource> {
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

function overHttp(url: string, key: string | undefined): CaptionSource {
  let model: Report["model"];
  return {
    async caption(bytes) {
      const response = await fetch(new URL("/v1/captions", url), {
        method: "POST",
        body: bytes,
        headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      });
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
      const caption = Caption.parse(await response.json());
      model = caption.model;
      return caption;
    },
    model: () => model,
    close: async () => {},
  };
}

async function mapConcurrently<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  const queue = items.entries();
  const worker = async () => {
    for (const [i, item] of queue) results[i] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, items.length) }, worker));
  return results;
}

function print(report: Report, json: boolean): void {
  if (json) {
    console.log(JSON.stringify(report));
    return;
  }
  console.log(`${report.model?.id} revision ${report.model?.revision}`);
  console.log(
    `${report.images} pictures, ${report.failed} failed, ${report.images_per_second.toFixed(1)} pictures/s`,
  );
  for (const [name, value] of Object.entries(report.scores))
    console.log(`${name.padEnd(8)} ${value.toFixed(4)}`);
  console.log(
    `rank correlation of the model's score with CIDEr-D: ${report.calibration.rank_correlation.toFixed(3)}`,
  );
}

await runCommand(main);
