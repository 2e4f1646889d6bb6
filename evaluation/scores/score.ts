/** The scores of a captioned set: BLEU-1..4, ROUGE-L and CIDEr-D, in lower case, without accents or punctuation. */

import { mean } from "../statistics.ts";
import { bleu } from "./bleu.ts";
import { ciderD } from "./cider.ts";
import { type Scored, words } from "./ngrams.ts";
import { rougeL, rougeLOfOne } from "./rouge.ts";

export interface Scores {
  readonly "BLEU-1": number;
  readonly "BLEU-2": number;
  readonly "BLEU-3": number;
  readonly "BLEU-4": number;
  readonly "ROUGE-L": number;
  readonly "CIDEr-D": number;
}

interface Captioned {
  readonly candidate: string;
  readonly references: readonly string[];
}

/** CIDEr-D of each caption, with document frequencies from the whole set. */
export function ciderOfEach(captions: readonly Captioned[]): number[] {
  return ciderD(captions.map(inWords));
}

/** ROUGE-L of each caption. */
export function rougeOfEach(captions: readonly Captioned[]): number[] {
  return captions.map((captioned) => rougeLOfOne(inWords(captioned)));
}

/** Scores raw captions; at least one picture, each with at least one reference. */
export function scoreCaptions(captions: readonly Captioned[]): Scores {
  const set = captions.map(inWords);
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

function inWords({ candidate, references }: Captioned): Scored {
  return { candidate: words(candidate), references: references.map(words) };
}
