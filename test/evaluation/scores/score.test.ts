import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { scoreCaptions } from "../../../evaluation/scores/score.ts";

/** Made by reference/scores.py with pycocoevalcap. */
const Reference = z.object({
  captions: z.array(z.object({ candidate: z.string(), references: z.array(z.string()) })),
  scores: z.record(z.string(), z.number()),
});
const reference = Reference.parse(
  JSON.parse(readFileSync(new URL("../../fixtures/scores.json", import.meta.url), "utf8")),
);

describe("scoreCaptions", () => {
  test.each(Object.entries(reference.scores))("%s equals pycocoevalcap's", (name, expected) => {
    const scores: Record<string, number> = { ...scoreCaptions(reference.captions) };
    expect(scores[name]).toBeCloseTo(expected, 6);
  });

  test("of two references that are equally near in length, the shorter counts for BLEU", () => {
    const scores = scoreCaptions([
      { candidate: "a dog runs fast", references: ["a dog runs fast now", "a dog runs"] },
    ]);
    expect(scores["BLEU-1"]).toBe(1);
  });

  test("a caption that shares no word with the references scores 0", () => {
    const scores = scoreCaptions([
      { candidate: "zebra", references: ["a dog runs"] },
      { candidate: "a dog runs", references: ["a dog runs fast"] },
    ]);
    expect(scores["BLEU-4"]).toBe(0);
    expect(scores["ROUGE-L"]).toBeLessThan(0.5);
  });
});
