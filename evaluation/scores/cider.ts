/** CIDEr-D with document frequencies from the set's own references, as in COCO's caption code. Vedantam et al. 2015. */

import { mean } from "../statistics.ts";
import { ngramCounts, type Scored } from "./ngrams.ts";

const ORDERS = 4;
const SIGMA = 6;

interface Weighted {
  /** TF-IDF of each n-gram, one map for each n. */
  readonly vectors: readonly ReadonlyMap<string, number>[];
  readonly norms: readonly number[];
  readonly bigrams: number;
}

/** CIDEr-D of each member of the set; the score of the set is their mean. */
export function ciderD(set: readonly Scored[]): number[] {
  const frequencies = documentFrequencies(set);
  const logSize = Math.log(set.length);
  const weigh = (sentence: readonly string[]): Weighted => {
    const vectors = orders().map((n) => {
      const weighted = new Map<string, number>();
      for (const [ngram, count] of ngramCounts(sentence, n)) {
        weighted.set(ngram, count * (logSize - Math.log(Math.max(1, frequencies.get(ngram) ?? 0))));
      }
      return weighted;
    });
    const norms = vectors.map((vector) => Math.hypot(...vector.values()));
    return { vectors, norms, bigrams: Math.max(0, sentence.length - 1) };
  };
  return set.map(({ candidate, references }) => {
    const guess = weigh(candidate);
    return 10 * mean(references.map((reference) => similarity(guess, weigh(reference))));
  });
}

function orders(): number[] {
  return Array.from({ length: ORDERS }, (_, i) => i + 1);
}

/** For each n-gram, how many members of the set have it in their references. */
function documentFrequencies(set: readonly Scored[]): Map<string, number> {
  const frequencies = new Map<string, number>();
  for (const { references } of set) {
    const seen = new Set(references.flatMap((r) => orders().flatMap((n) => [...ngramCounts(r, n).keys()])));
    for (const ngram of seen) frequencies.set(ngram, (frequencies.get(ngram) ?? 0) + 1);
  }
  return frequencies;
}

function similarity(guess: Weighted, reference: Weighted): number {
  const penalty = Math.exp(-((guess.bigrams - reference.bigrams) ** 2) / (2 * SIGMA ** 2));
  const cosines = guess.vectors.map((vector, n) => {
    let product = 0;
    for (const [ngram, weight] of vector) {
      const other = reference.vectors[n]?.get(ngram) ?? 0;
      product += Math.min(weight, other) * other;
    }
    const norm = (guess.norms[n] as number) * (reference.norms[n] as number);
    return penalty * (norm === 0 ? product : product / norm);
  });
  return mean(cosines);
}
