/** How far the model's own score of a caption says what people would say of it. */

import { mean } from "./scores/ngrams.ts";

/** One captioned picture. */
export interface Judged {
  /** Geometric mean of the token probabilities, 0..1. */
  readonly score: number;
  /** CIDEr-D of this caption. */
  readonly cider: number;
}

export interface Bin {
  /** Scores from here up to the next bin's start. */
  readonly from: number;
  readonly pictures: number;
  /** Mean CIDEr-D of the bin; null where it is empty. */
  readonly cider: number | null;
}

export interface Calibration {
  readonly bins: readonly Bin[];
  /** Spearman's rank correlation of score and CIDEr-D, -1..1. */
  readonly rank_correlation: number;
}

const BINS = 20;

/** Pictures by score, in bins of equal width. */
export function calibrate(judged: readonly Judged[]): Calibration {
  const bins = Array.from({ length: BINS }, (_, i) => {
    const from = i / BINS;
    const inside = judged.filter(({ score }) => Math.min(BINS - 1, Math.floor(score * BINS)) === i);
    return {
      from,
      pictures: inside.length,
      cider: inside.length === 0 ? null : mean(inside.map((j) => j.cider)),
    };
  });
  return {
    bins,
    rank_correlation: correlation(
      ranks(judged.map(({ score }) => score)),
      ranks(judged.map(({ cider }) => cider)),
    ),
  };
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
