/** The scores of a captioned set: BLEU-1..4, ROUGE-L, CIDEr-D, lower case and without punctuation. */

import { bleu } from "./bleu.ts";
import { ciderD } from "./cider.ts";
import { mean, words } from "./ngrams.ts";
import { rougeL } from "./rouge.ts";

/** One picture's caption and what people said of it, as words. */
export interface Scored {
  readonly candidate: readonly string[];
  readonly references: readonly (readonly string[])[];
}

export interface Scores {
  readonly "BLEU-1": number;
  readonly "BLEU-2": number;
  readonly "BLEU-3": number;
  readonly "BLEU-4": number;
  readonly "ROUGE-L": number;
  readonly "CIDEr-D": number;
}

/** Scores raw captions; at least one picture, each with at least one reference. */
export function scoreCaptions(
  captions: readonly { readonly candidate: string; readonly references: readonly string[] }[],
): Scores {
  const set = captions.map(({ candidate, references }) => ({
    candidate: words(candidate),
    references: references.map(words),
  }));
  const [bleu1, bleu2, bleu3, bleu4] = bleu(set) as [number, number, number, number];
  return {
    "BLEU-1": bleu1,
    "BLEU-2": bleu2,
    "BLEU-3": bleu3,
    "BLEU-4": bleu4,
    "ROUGE-L": rougeL(set),
    "CIDEr-D": mean(ciderD(set)),
  };
}
