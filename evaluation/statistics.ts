/** Statistics of lists of numbers that the scores and the calibration share. Knows no captions. */

/** Arithmetic mean; NaN if there are no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Spearman's rank correlation, -1..1; 0 if one side does not vary. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  return correlation(ranks(a), ranks(b));
}

/**
 * How often a good member scores more than one of the others, 0..1, with equal scores counted half: the area under the ROC
 * curve, by Mann and Whitney's U. Null if all are good, or none.
 */
export function areaUnderCurve(scores: readonly number[], isGood: readonly boolean[]): number | null {
  const goodRanks = ranks(scores).filter((_, i) => isGood[i]);
  const good = goodRanks.length;
  const others = scores.length - good;
  if (good === 0 || others === 0) return null;
  const sum = goodRanks.reduce((total, rank) => total + rank, 0);
  return (sum - (good * (good - 1)) / 2) / (good * others);
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

/** Pearson's correlation; 0 if one side does not vary. */
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
