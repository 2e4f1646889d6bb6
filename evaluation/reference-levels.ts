/** What can be scored on a labelled set without a model: by the best single sentence for all pictures, and by a person. */

import { words } from "./scores/ngrams.ts";
import { rougeLOfOne } from "./scores/rouge.ts";
import { mean } from "./statistics.ts";

export interface ReferenceLevels {
  /** ROUGE-L of the one sentence of the set that fits best when said of every picture. */
  readonly constant: number;
  /** ROUGE-L of one person's caption against the others', averaged over everybody; 1 if each picture has only one caption. */
  readonly person: number;
}

/** Every sentence is tried on about this many pictures; the best of them are then tried on all. */
const SCREENING_PICTURES = 50;
const FINALISTS = 20;

/** @param captions what people said, picture by picture */
export function referenceLevels(captions: readonly (readonly string[])[]): ReferenceLevels {
  const set = captions.map((references) => references.map(words));
  return { constant: bestConstant(set), person: person(set) };
}

type Sentence = readonly string[];

function bestConstant(set: readonly (readonly Sentence[])[]): number {
  const step = Math.max(1, Math.floor(set.length / SCREENING_PICTURES));
  const sample = set.filter((_, i) => i % step === 0);
  const said = (candidate: Sentence, pictures: typeof set) =>
    mean(pictures.map((references) => rougeLOfOne({ candidate, references })));
  const sentences = new Map(set.flat().map((sentence) => [sentence.join(" "), sentence]));
  const screened = [...sentences.values()]
    .map((sentence) => ({ sentence, quality: said(sentence, sample) }))
    .sort((a, b) => b.quality - a.quality)
    .slice(0, FINALISTS);
  return Math.max(...screened.map(({ sentence }) => said(sentence, set)));
}

function person(set: readonly (readonly Sentence[])[]): number {
  const pictures = set.filter((references) => references.length > 1);
  if (pictures.length === 0) return 1;
  return mean(
    pictures.map((references) =>
      mean(
        references.map((candidate, i) =>
          rougeLOfOne({ candidate, references: references.filter((_, j) => j !== i) }),
        ),
      ),
    ),
  );
}
