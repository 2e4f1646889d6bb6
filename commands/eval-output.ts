/** What `npm run -s eval` prints: an evaluation and a calibration, in words or as JSON. Measures nothing itself. */

import { GOOD_CIDER } from "../evaluation/calibration.ts";
import type { Evaluation } from "../evaluation/evaluate.ts";
import type { ReviewCalibration } from "../evaluation/review-threshold.ts";
import { mean } from "../evaluation/statistics.ts";
import { printable } from "./terminal-text.ts";

/** Whether a score was fitted to the very set that it is judged on; null for an API, which does not say. */
export type IsFitted = boolean | null;

const FIT_NOTICES: ReadonlyMap<IsFitted, string> = new Map([
  [true, "The score was fitted to this set: on others it is worth less. --calibrate prints how much."],
  [
    null,
    "An API does not tell whether the score was fitted to this set: if it was, it is worth less on others.",
  ],
]);

/** What a reader has to know before believing what is said about the score; undefined if there is nothing. */
export function fitNotice(isFitted: IsFitted): string | undefined {
  return FIT_NOTICES.get(isFitted);
}

/** Prints one line of JSON: the evaluation without its pictures, which are only counted. */
export function printEvaluationJson(
  { pictures, ...evaluation }: Evaluation,
  calibrated: ReviewCalibration | undefined,
  isFitted: IsFitted,
): void {
  const counts = {
    images: pictures.length,
    distinct: distinctCaptions(pictures),
    flagged: pictures.filter(({ needs_review }) => needs_review).length,
  };
  const fit = { score_fitted_to_this_set: isFitted };
  console.log(
    printable(JSON.stringify({ ...counts, ...evaluation, ...fit, ...(calibrated && { calibrated }) })),
  );
}

const distinctCaptions = (pictures: Evaluation["pictures"]) =>
  new Set(pictures.map(({ caption }) => caption)).size;

/** Prints the scores in words. `notice` precedes the results of calibrating. */
export function printEvaluation(
  evaluation: Evaluation,
  calibrated: ReviewCalibration | undefined,
  notice: string | undefined,
): void {
  const { pictures, model, failed, images_per_second, scores, calibration } = evaluation;
  const flagged = pictures.filter(({ needs_review }) => needs_review);
  const kept = pictures.filter(({ needs_review }) => !needs_review);
  console.log(printable(`${model?.id} revision ${model?.revision}`));
  console.log(`${pictures.length} pictures, ${failed} failed, ${images_per_second.toFixed(1)} pictures/s`);
  for (const [name, value] of Object.entries(scores)) console.log(`${name.padEnd(8)} ${value.toFixed(4)}`);
  console.log(`distinct captions: ${distinctCaptions(pictures)}`);
  console.log(
    `rank correlation of the model's score with CIDEr-D: ${calibration.rank_correlation.toFixed(3)}; area under the curve for a CIDEr-D of at least ${GOOD_CIDER}: ${calibration.area_under_curve?.toFixed(3) ?? "undefined"}`,
  );
  const quality = (some: typeof pictures) =>
    some.length === 0 ? "none" : `ROUGE-L ${mean(some.map(({ rouge }) => rouge)).toFixed(4)}`;
  console.log(`for review: ${flagged.length} (${quality(flagged)}); not: ${kept.length} (${quality(kept)})`);
  if (notice !== undefined) console.log(notice);
  if (calibrated) printCalibrated(calibrated);
}

function printCalibrated({ review, levels, wanted, held_out }: ReviewCalibration): void {
  const weights = Object.keys(review.weights?.words ?? {}).length;
  console.log(
    review.weights
      ? `score: a regression on the captions' probability and ${weights} words; the numbers above are from regressions that were fitted without the picture`
      : "score: the geometric mean of the token probabilities, because no regression ordered unseen captions better",
  );
  const { constant, person } = levels;
  const fixed = (value: number | null) => value?.toFixed(4) ?? "of nothing";
  console.log(
    `review below ${review.below}: even the least sure unflagged captions should reach ROUGE-L ${wanted.toFixed(4)}, midway between the best constant caption (${constant.toFixed(4)}) and a person (${person.toFixed(4)})`,
  );
  console.log(
    `set on one half and checked on the other, ${held_out.halves} times: ${(100 * held_out.flagged_share).toFixed(1)} % flagged, ROUGE-L of the rest ${fixed(held_out.quality)}, of the least sure of them ${fixed(held_out.least_sure)} (${held_out.all_flagged} halves flagged everything)`,
  );
}
