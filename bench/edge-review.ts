/**
 * What a caption's score says about it: captions of a labelled set by rising score, in tenths, each beside what people
 * wrote. `REVIEW_BELOW_SCORE` was chosen from this.
 */

import { readFile } from "node:fs/promises";
import path from "node:path";
import * as z from "zod";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { scoreCaptions } from "../evaluation/scores/score.ts";
import { REVIEW_BELOW_SCORE } from "../shared/limits.ts";
import type { Report } from "./report.ts";

const GROUPS = 10;

export const Options = z.object({
  images: z.string("expected --images DIR"),
  captions: z.string("expected --captions FILE.jsonl"),
  split: z.string().default("dev"),
  bundle: z.string().optional(),
});

const Line = z.object({ image: z.string(), split: z.string(), captions: z.array(z.string()).min(1) });

interface Captioned {
  readonly candidate: string;
  readonly references: readonly string[];
  readonly score: number;
}

export async function run(options: z.infer<typeof Options>): Promise<Report> {
  const lines = (await readFile(options.captions, "utf8"))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Line.parse(JSON.parse(line)))
    .filter(({ split }) => split === options.split);
  const { captioner, engine } = await openLocalCaptioner(options.bundle);
  const captioned: Captioned[] = [];
  for (const { image, captions } of lines) {
    const result = await captioner.caption(new Uint8Array(await readFile(path.join(options.images, image))));
    if (!result.ok) throw new Error(`${image}: ${result.failure.detail}`);
    captioned.push({ candidate: result.value.caption, references: captions, score: result.value.score });
  }
  await engine.close();
  captioned.sort((a, b) => a.score - b.score);
  const size = Math.ceil(captioned.length / GROUPS);
  return {
    model: captioner.model.id,
    revision: captioner.model.revision,
    images: captioned.length,
    threshold: REVIEW_BELOW_SCORE,
    below: summary(captioned.filter(({ score }) => score < REVIEW_BELOW_SCORE)),
    above: summary(captioned.filter(({ score }) => score >= REVIEW_BELOW_SCORE)),
    tenths: Array.from({ length: GROUPS }, (_, tenth) =>
      summary(captioned.slice(tenth * size, (tenth + 1) * size)),
    ),
  };
}

function summary(group: readonly Captioned[]): Report {
  if (group.length === 0) return { images: 0 };
  const { "ROUGE-L": rouge_l, "BLEU-1": bleu_1 } = scoreCaptions(group);
  return {
    images: group.length,
    score_from: group[0]?.score ?? 0,
    score_to: group.at(-1)?.score ?? 0,
    rouge_l,
    bleu_1,
  };
}
