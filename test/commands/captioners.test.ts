/** A captioner in this process answers as the API does: nothing that its model says of a caption is lost on the way. */

import { expect, test } from "vitest";
import type { Captioner } from "../../backend/captioner/captioner.ts";
import { captionLocally } from "../../commands/captioners.ts";
import { success } from "../../shared/result.ts";
import { weightedScore } from "../../shared/review.ts";

const WEIGHTS = { intercept: -1, log_probability: 1, picture_score: 4, words: { dog: 0.5 } };
const REVIEW = {
  below: 0.5,
  measured_on: "set",
  pictures: 100,
  flagged_share: 0.5,
  quality_above: 0.5,
  weights: WEIGHTS,
};

/** Only what `captionLocally` asks of one. */
function captionerOf(said: { caption: string; score: number; picture_score?: number }): Captioner {
  return {
    model: { id: "m", revision: "r", review: REVIEW },
    caption: async () => success({ ...said, source: "generated" }),
  } as unknown as Captioner;
}

test("the score is the one of the model's weights, the picture's part included", async () => {
  const said = { caption: "a dog", score: 0.8, picture_score: 0.6 };
  const result = await captionLocally(captionerOf(said), new Uint8Array([1]));
  expect(result).toMatchObject({
    ok: true,
    value: { caption: "a dog", score: weightedScore(said, WEIGHTS), needs_review: false },
  });
});

test("without the picture's part it is for review", async () => {
  const result = await captionLocally(captionerOf({ caption: "a dog", score: 0.8 }), new Uint8Array([1]));
  expect(result).toMatchObject({ ok: true, value: { score: 0.8, needs_review: true } });
});
