/** ROUGE-L with beta 1.2, best precision and best recall over the references, as in COCO's caption code. Lin 2004. */

import { mean } from "../statistics.ts";
import type { Scored } from "./ngrams.ts";

const BETA_SQUARED = 1.2 ** 2;

/** ROUGE-L averaged over the set. */
export function rougeL(set: readonly Scored[]): number {
  return mean(set.map(rougeLOfOne));
}

/** ROUGE-L of one caption. */
export function rougeLOfOne({ candidate, references }: Scored): number {
  const common = references.map((reference) => longestCommonSubsequence(candidate, reference));
  const precision = Math.max(...common) / Math.max(1, candidate.length);
  const recall = Math.max(...common.map((length, i) => length / Math.max(1, references[i]?.length ?? 0)));
  if (precision === 0 || recall === 0) return 0;
  return ((1 + BETA_SQUARED) * precision * recall) / (recall + BETA_SQUARED * precision);
}

function longestCommonSubsequence(a: readonly string[], b: readonly string[]): number {
  let previous = new Array<number>(b.length + 1).fill(0);
  for (const word of a) {
    const current = [0];
    for (let j = 0; j < b.length; j++) {
      current.push(
        word === b[j]
          ? (previous[j] as number) + 1
          : Math.max(previous[j + 1] as number, current[j] as number),
      );
    }
    previous = current;
  }
  return previous[b.length] as number;
}
