/** How far the model's own score of a caption says what people would say of it. */

import { mean } from "./scores/ngrams.ts";

/** One captioned picture. */
export interface Judged {
  /** What the model thinks of its caption, 0..1. */
  readonly score: number;
  /** CIDEr-D of this caption. */
  readonly cider: number;
  /** ROUGE-L of this caption. */
  readonly rouge: number;
}

/** Captions from here on say what is in the picture; under it they mostly do not. */
export const GOOD_CIDER = 0.5;

export interface Bin {
  /** Scores from here up to the next bin's start. */
  readonly from: number;
  readonly pictures: number;
  /** Mean CIDEr-D of the bin; null where it is empty. */
  readonly cider: number | null;
  /** Share of the bin's captions that are good; null where it is empty. */
  readonly good: number | null;
}

/** What is left when the captions that score least are flagged. */
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
  /** How often a good caption scores more than one that is not: the area under the ROC curve; null where all are alike. */
  readonly area_under_curve: number | null;
}

const BINS = 20;
const COVERAGES = 10;

/** Pictures by score: in bins of equal width, and from the highest on. */
export function calibrate(judged: readonly Judged[]): Calibration {
  const scoreRanks = ranks(judged.map(({ score }) => score));
  return {
    bins: Array.from({ length: BINS }, (_, i) => binOf(judged, i)),
    coverage: coverage(judged),
    rank_correlation: rankCorrelation(
      judged.map(({ score }) => score),
      judged.map(({ cider }) => cider),
    ),
    area_under_curve: areaUnderCurve(
      scoreRanks,
      judged.map(({ cider }) => cider >= GOOD_CIDER),
    ),
  };
}

/** Spearman's rank correlation, -1..1; 0 where one side does not vary. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  return correlation(ranks(a), ranks(b));
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
  return Array.from({ length: COVERAGES }, (_, i) => i / COVERAGES).flatMap((flagged_share) => {
    const kept = ranked.slice(0, Math.ceil(ranked.length * (1 - flagged_share)));
    const last = kept.at(-1);
    if (last === undefined) return [];
    return {
      flagged_share,
      from_score: last.score,
      rouge: mean(kept.map(({ rouge }) => rouge)),
      cider: mean(kept.map(({ cider }) => cider)),
    };
  });
}

/** Ranks from 0; equal values share the mean of theirs. */
function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number));
  const result = new Array<number>(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end] as number] === values[order[start] as number]) end++;
    for (let i = start; i < end; i++) result[order[i] as number] = (start + end - 1) / 2;
    start = end;
  }
  return result;
}

/** From ranks, as Mann and Whitney's U. */
function areaUnderCurve(scoreRanks: readonly number[], isGood: readonly boolean[]): number | null {
  const good = scoreRanks.filter((_, i) => isGood[i]);
  const others = scoreRanks.length - good.length;
  if (good.length === 0 || others === 0) return null;
  const sum = good.reduce((total, rank) => total + rank, 0);
  return (sum - (good.length * (good.length - 1)) / 2) / (good.length * others);
}

/** Pearson's; 0 where one side does not vary. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [mean(a), mean(b)];
  let both = 0;
  let squaresA = 0;
  let squaresB = 0;
  a.forEach((value, i) => {
    const [dA, dB] = [value - meanA, (b[i] as number) - meanB];
    both += dA * dB;
    squaresA += dA * dA;
    squaresB += dB * dB;
  });
  return squaresA === 0 || squaresB === 0 ? 0 : both / Math.sqrt(squaresA * squaresB);
}
