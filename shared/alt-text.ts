/**
 * Shapes what a model said into alt text.
 * Nothing is reworded: openings and repetitions are removed, and the rest stays as the model put it.
 */

import { DEFAULT_ALT_CHARACTERS } from "./limits.ts";

export interface AltText {
  readonly alt: string;
  /** The model ran in circles: the alt text has been shortened, and somebody should look at it before it is used. */
  readonly looping: boolean;
}

/** Openings are removed because a screen reader says "image" itself. */
const OPENINGS =
  /^(?:(?:(?:there is|this is|here is|it is)\s+)?(?:(?:an?|the)\s+)?(?:picture|photo|photograph|image|snapshot)\s+(?:of|showing|shows|that shows|depicting)\s+)+/i;

/** Words that lead on to something; they are removed at a cut, where nothing follows any more. */
const LEADS_ON = /\s+(?:an?|the|and|or|of|in|on|at|to|with|by|for|from|near|next|is|are|that|which|while)$/i;

/** A syllable said three times running inside a word, as in "gifefefe". */
const STUTTER = /(\p{L}{1,4})\1\1/iu;

const LONGEST_REPEATED_PHRASE_WORDS = 6;
const LOOP_REPETITIONS = 3;

/**
 * Alt text of a caption: sentence case, no "a picture of", repetitions collapsed, cut on a word edge to at most
 * `maxCharacters` UTF-16 units.
 *
 * @example toAltText("a picture of a a dog").alt // "A dog"
 */
export function toAltText(caption: string, maxCharacters = DEFAULT_ALT_CHARACTERS): AltText {
  const { words, mostRepetitions } = collapseRepetitions(withoutOpenings(caption).split(" "));
  const text = cutOnWordEdge(words.join(" "), maxCharacters);
  return {
    alt: text.charAt(0).toUpperCase() + text.slice(1),
    looping: mostRepetitions >= LOOP_REPETITIONS || STUTTER.test(caption),
  };
}

function withoutOpenings(caption: string): string {
  return caption.replace(/\s+/g, " ").trim().replace(OPENINGS, "");
}

/** Keeps one of each phrase that follows itself. Longest phrases come last, so that "a a" is collapsed before "a dog a dog". */
function collapseRepetitions(words: readonly string[]): { words: string[]; mostRepetitions: number } {
  let mostRepetitions = 1;
  let kept = [...words];
  for (let size = 1; size <= LONGEST_REPEATED_PHRASE_WORDS; size++) {
    const next: string[] = [];
    let repetitions = 1;
    for (let at = 0; at < kept.length; ) {
      const phrase = kept.slice(at, at + size);
      if (phrase.length === size && samePhrase(next.slice(-size), phrase)) {
        repetitions += 1;
        mostRepetitions = Math.max(mostRepetitions, repetitions);
        at += size;
      } else {
        repetitions = 1;
        next.push(kept[at] ?? "");
        at += 1;
      }
    }
    kept = next;
  }
  return { words: kept, mostRepetitions };
}

function samePhrase(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((word, index) => word.toLowerCase() === b[index]?.toLowerCase());
}

function cutOnWordEdge(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text;
  const edge = text.lastIndexOf(" ", maxCharacters);
  // One endless word is cut anywhere, but not inside a surrogate pair.
  let cut = edge > 0 ? text.slice(0, edge) : text.slice(0, maxCharacters).replace(/[\uD800-\uDBFF]$/, "");
  while (LEADS_ON.test(cut)) cut = cut.replace(LEADS_ON, "");
  return cut.replace(/[\s,;:.-]+$/, "");
}
