/** How sure a caption is, and whether a person should look at it, by its model's calibration. */

import { toAltText } from "./alt-text.ts";
import type { GeneratedCaption, Review, ScoreWeights } from "./schema.ts";

/** The part of a calibration that is needed to judge captions. */
export type ReviewRule = Pick<Review, "below" | "weights">;

/** What a caption says, how likely its model found it, and how well the model can describe such a picture. */
export type SaidCaption = Pick<GeneratedCaption, "caption" | "score" | "picture_score">;

export interface Judgement {
  /** 0..1, to six digits. */
  readonly score: number;
  readonly needs_review: boolean;
}

/** Captioners that give no probability say 0, whose logarithm is not finite. */
const LEAST_PROBABILITY = 1e-6;

/** Further digits depend on how many pictures shared a forward pass. */
const SCORE_STEPS = 1e6;

/**
 * Judges a caption by its model's rule. It is always for review if there is no rule, or if it lacks the picture score that
 * the rule asks for.
 */
export function judgeCaption(said: SaidCaption, rule: ReviewRule | undefined): Judgement {
  const { alt, looping } = toAltText(said.caption);
  const weights = rule?.weights;
  const lacksPicture = weights?.picture_score !== undefined && said.picture_score === undefined;
  const exact = weights && !lacksPicture ? weightedScore(said, weights) : said.score;
  const score = Math.round(exact * SCORE_STEPS) / SCORE_STEPS;
  const isUnsure = rule === undefined || lacksPicture || score < rule.below;
  return { score, needs_review: isUnsure || looping || alt === "" };
}

/** The logistic regression of `weights`, 0..1. If they ask for a picture score, the caption must have one. */
export function weightedScore(
  { caption, score: probability, picture_score = 0 }: SaidCaption,
  { intercept, log_probability, picture_score: ofPicture = 0, words }: ScoreWeights,
): number {
  let logit = intercept + log_probability * logProbability(probability) + ofPicture * picture_score;
  for (const word of wordsOf(caption)) if (Object.hasOwn(words, word)) logit += words[word] ?? 0;
  return 1 / (1 + Math.exp(-logit));
}

/** Natural logarithm of a caption's probability, as the weights take it. */
export function logProbability(probability: number): number {
  return Math.log(Math.max(probability, LEAST_PROBABILITY));
}

/** The different words of a caption, as the weights name them. */
export function wordsOf(caption: string): Set<string> {
  return new Set(caption.toLowerCase().match(/[\p{L}\p{N}]+/gu));
}
