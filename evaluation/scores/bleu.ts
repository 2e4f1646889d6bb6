/** Corpus BLEU with the closest reference length, as in COCO's caption code. Papineni et al. 2002. */

import { ngramCounts, type Scored } from "./ngrams.ts";

const ORDERS = 4;

/** BLEU-1 to BLEU-4 of the whole set. */
export function bleu(set: readonly Scored[]): number[] {
  const correct = new Array<number>(ORDERS).fill(0);
  const guessed = new Array<number>(ORDERS).fill(0);
  let candidateLength = 0;
  let referenceLength = 0;
  for (const { candidate, references } of set) {
    candidateLength += candidate.length;
    referenceLength += closest(
      candidate.length,
      references.map((reference) => reference.length),
    );
    for (let k = 0; k < ORDERS; k++) {
      const inReferences = references.map((reference) => ngramCounts(reference, k + 1));
      for (const [ngram, count] of ngramCounts(candidate, k + 1)) {
        const most = Math.max(...inReferences.map((counts) => counts.get(ngram) ?? 0));
        correct[k] = (correct[k] as number) + Math.min(count, most);
      }
      guessed[k] = (guessed[k] as number) + Math.max(0, candidate.length - k);
    }
  }
  const brevity = candidateLength < referenceLength ? Math.exp(1 - referenceLength / candidateLength) : 1;
  let product = 1;
  return correct.map((hits, k) => {
    product *= hits / Math.max(1, guessed[k] as number);
    return brevity * product ** (1 / (k + 1));
  });
}

/** The nearest length; the shorter of two that are equally near. */
function closest(length: number, candidates: readonly number[]): number {
  return candidates.reduce((best, other) => {
    const nearer = Math.abs(other - length) - Math.abs(best - length);
    return nearer < 0 || (nearer === 0 && other < best) ? other : best;
  });
}
