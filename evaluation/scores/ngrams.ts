/** Words and n-grams as all three scores count them. */

/** One picture's caption and what people said about it, as words. */
export interface Scored {
  readonly candidate: readonly string[];
  readonly references: readonly (readonly string[])[];
}

/** The words of a caption in lower case, without punctuation, and without accents, because BLIP's own words have none. */
export function words(caption: string): string[] {
  return caption
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9 ]/g, " ")
    .split(" ")
    .filter((word) => word !== "");
}

/** How often each run of `n` words occurs. */
export function ngramCounts(sentence: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= sentence.length; i++) {
    const ngram = sentence.slice(i, i + n).join(" ");
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}
