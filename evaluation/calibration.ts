/** How well the model's own score of a caption agrees with what people said about the picture. */

import { areaUnderCurve, mean, rankCorrelation } from "./statistics.ts";

/** One captioned picture. */
export interface Judged {
  /** The model's score of its caption, 0..1. */
  readonly score: number;
  /** CIDEr-D of this caption. */
  readonly cider: number;
  /** ROUGE-L of this caption. */
  readonly rouge: number;
}

/** Captions that score this much or more say what is in the picture; those below mostly do not. */
export const GOOD_CIDER = 0.5;

export interface Bin {
  /** Scores from here up to the next bin's start. */
  readonly from: number;
  readonly pictures: number;
  /** Mean CIDEr-D of the bin; null if it is empty. */
  readonly cider: number | null;
  /** Share of the bin's captions that are good; null if it is empty. */
  readonly good: number | null;
}

/** How good the remaining captions are when those that score least are flagged. */
export interface Coverage {
  readonly flagged_share: number;
  /** Lowest score that is not flagged. */
  readonly from_score: number;
  readonly rouge: number;
  readonly cider: number;
}

export interface Calibration {
  readonly bins: readonly Bin[];
  readonly coverage: readonly Coverage[];
  /** Spearman's rank correlation of score and CIDEr-D, -1..1. */
  readonly rank_correlation: number;
  /** How often a good caption scores more than one that is not: the area under the ROC curve; null if all are good, or none. */
  readonly area_under_curve: number | null;
}

const BINS = 20;
const COVERAGES = 10;

/** Pictures by score: in bins of equal width, and from the highest on. */
export function calibrate(judged: readonly Judged[]): Calibration {
  const scores = judged.map(({ score }) => score);
  const ciders = judged.map(({ cider }) => cider);
  return {
    bins: Array.from({ length: BINS }, (_, i) => binOf(judged, i)),
    coverage: coverage(judged),
    rank_correlation: rankCorrelation(scores, ciders),
    area_under_curve: areaUnderCurve(
      scores,
      ciders.map((cider) => cider >= GOOD_CIDER),
    ),
  };
}

function binOf(judged: readonly Judged[], bin: number): Bin {
  const inside = judged.filter(({ score }) => Math.min(BINS - 1, Math.floor(score * BINS)) === bin);
  const isEmpty = inside.length === 0;
  return {
    from: bin / BINS,
    pictures: inside.length,
    cider: isEmpty ? null : mean(inside.map(({ cider }) => cider)),
    good: isEmpty ? null : mean(inside.map(({ cider }) => (cider >= GOOD_CIDER ? 1 : 0))),
  };
}

function coverage(judged: readonly Judged[]): Coverage[] {
  const ranked = [...judged].sort((a, b) => b.score - a.score);
  return Array.from({ length: COVERAGES }, (_, i) => i).flatMap((flagged) => {
    // Calculated in whole numbers: 10 * (1 - 0.7) is a little more than 3, which would be rounded up to 4.
    const kept = ranked.slice(0, Math.ceil((ranked.length * (COVERAGES - flagged)) / COVERAGES));
    const last = kept.at(-1);
    if (last === undefined) return [];
    return {
      flagged_share: flagged / COVERAGES,
      from_score: last.score,
      rouge: mean(kept.map(({ rouge }) => rouge)),
      cider: mean(kept.map(({ cider }) => cider)),
    };
  });
}
