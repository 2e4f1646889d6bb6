/**
 * Makes a caption's score worth more than the probability that its model gave it. A ridge logistic regression predicts the
 * caption's CIDEr-D, at most 1, from the logarithm of that probability, from the model's picture head, if it has one, and
 * from the caption's words, because models are right about some things more often than about others. It is kept only if it
 * ranks captions outside the fit better than the probability alone does.
 */

import { logProbability, type SaidCaption, weightedScore, wordsOf } from "../shared/review.ts";
import type { ScoreWeights } from "../shared/schema.ts";
import { createRandom, shuffled } from "./random.ts";
import { mean, rankCorrelation } from "./statistics.ts";

/** One captioned picture; `score` is the geometric mean of the token probabilities. */
export interface ProbableCaption extends SaidCaption {
  /** CIDEr-D of the caption. */
  readonly cider: number;
}

export interface ScoreFit {
  /** Null if the probability alone ranks unseen captions as well. */
  readonly weights: ScoreWeights | null;
  /** Score of each picture by weights that were fitted without it, or its probability if `weights` is null. */
  readonly scores: readonly number[];
}

/** A word in fewer captions says nothing. */
const MIN_CAPTIONS_OF_WORD = 8;
/** Ridge on a word of unit variance, as if it had been seen this many times without any effect. */
const RIDGE = 200;
const FOLDS = 10;
/** How often the set is cut into folds anew, because a single cut may be better or worse by luck. */
const CUTS = 5;
const SEED = 23;
/** Coordinate descent ends when no logit moves by more. */
const CONVERGED = 1e-7;
const MAX_SWEEPS = 1000;
const DECIMALS = 1e4;

/** Fits on all of `pictures`, and tenfold for the scores. The same pictures give the same weights. */
export function fitScore(pictures: readonly ProbableCaption[]): ScoreFit {
  const ciders = pictures.map(({ cider }) => cider);
  const probabilities = pictures.map(({ score }) => score);
  const unseen = crossFit(pictures);
  return rankCorrelation(unseen, ciders) > rankCorrelation(probabilities, ciders)
    ? { weights: rounded(fitWeights(pictures)), scores: unseen }
    : { weights: null, scores: probabilities };
}

/** For each picture, its mean score over the cuts. */
function crossFit(pictures: readonly ProbableCaption[]): number[] {
  const random = createRandom(SEED);
  const cuts = Array.from({ length: CUTS }, () => crossFitOnce(pictures, random));
  return pictures.map((_, i) => mean(cuts.map((scores) => scores[i] as number)));
}

function crossFitOnce(pictures: readonly ProbableCaption[], random: () => number): number[] {
  const order = shuffled([...pictures.keys()], random);
  const foldOf = new Map(order.map((index, place) => [index, place % FOLDS]));
  const weights = Array.from({ length: FOLDS }, (_, fold) =>
    fitWeights(pictures.filter((_, i) => foldOf.get(i) !== fold)),
  );
  return pictures.map((picture, i) => weightedScore(picture, weights[foldOf.get(i) ?? 0] as ScoreWeights));
}

/**
 * The weights fitted to `pictures`. Words are scaled by their standard deviation, so that the ridge holds rare and common
 * ones back alike.
 */
export function fitWeights(pictures: readonly ProbableCaption[]): ScoreWeights {
  const said = pictures.map(({ caption }) => wordsOf(caption));
  const counts = new Map<string, number>();
  for (const word of said.flatMap((words) => [...words])) counts.set(word, (counts.get(word) ?? 0) + 1);
  const words = [...counts].flatMap(([word, count]) =>
    count >= MIN_CAPTIONS_OF_WORD && count < pictures.length ? [word] : [],
  );
  const logs = pictures.map(({ score }) => logProbability(score));
  // If the model has a picture head, every caption has a picture score.
  const ofPictures = pictures.flatMap(({ picture_score }) => picture_score ?? []);
  const hasHead = ofPictures.length === pictures.length;
  const features = [
    standardize(logs, 0),
    ...(hasHead ? [standardize(ofPictures, 0)] : []),
    ...words.map((word) =>
      standardize(
        said.map((of) => (of.has(word) ? 1 : 0)),
        RIDGE,
      ),
    ),
  ];
  const [intercept, ofLog, ...ofWords] = logisticRegression(
    [{ values: logs.map(() => 1), ridge: 0, mean: 0, deviation: 1 }, ...features],
    pictures.map(({ cider }) => Math.min(1, Math.max(0, cider))),
  ) as [number, number, ...number[]];
  const inUnits = [ofLog, ...ofWords].map((weight, i) => weight / (features[i] as Feature).deviation);
  const [log_probability, ...others] = inUnits as [number, ...number[]];
  const wordWeights = others.slice(hasHead ? 1 : 0);
  return {
    intercept: inUnits.reduce((sum, weight, i) => sum - weight * (features[i] as Feature).mean, intercept),
    log_probability,
    ...(hasHead && { picture_score: others[0] as number }),
    words: Object.fromEntries(words.map((word, i) => [word, wordWeights[i] as number])),
  };
}

interface Feature {
  /** Standardized, one per picture. */
  readonly values: readonly number[];
  readonly ridge: number;
  readonly mean: number;
  readonly deviation: number;
}

function standardize(values: readonly number[], ridge: number): Feature {
  // A value that is the same for every picture says nothing. By rounding, its mean may differ from it, and its deviation
  // from 0.
  if (values.every((value) => value === values[0]))
    return { values: values.map(() => 0), ridge, mean: 0, deviation: 1 };
  const center = mean(values);
  const deviation = Math.sqrt(mean(values.map((value) => (value - center) ** 2)));
  return { values: values.map((value) => (value - center) / deviation), ridge, mean: center, deviation };
}

/**
 * Weights that maximize the penalized likelihood of `targets` (0..1), by coordinate descent on Böhning and Lindsay's bound
 * on its curvature (1988), which never overshoots.
 */
function logisticRegression(features: readonly Feature[], targets: readonly number[]): number[] {
  const weights = features.map(() => 0);
  const logits = new Float64Array(targets.length);
  const curvatures = features.map(
    ({ values, ridge }) => values.reduce((sum, value) => sum + value * value, 0) / 4 + ridge,
  );
  for (let sweep = 0, largest = 1; sweep < MAX_SWEEPS && largest > CONVERGED; sweep++) {
    largest = 0;
    features.forEach(({ values, ridge }, j) => {
      const weight = weights[j] as number;
      let gradient = ridge * weight;
      for (let i = 0; i < logits.length; i++) {
        gradient +=
          (values[i] as number) * (1 / (1 + Math.exp(-(logits[i] as number))) - (targets[i] as number));
      }
      // Both are 0 if all values are 0.
      const step = gradient / (curvatures[j] || 1);
      weights[j] = weight - step;
      for (let i = 0; i < logits.length; i++)
        logits[i] = (logits[i] as number) - step * (values[i] as number);
      largest = Math.max(largest, Math.abs(step));
    });
  }
  return weights;
}

function rounded({ intercept, log_probability, picture_score, words }: ScoreWeights): ScoreWeights {
  const round = (value: number) => Math.round(value * DECIMALS) / DECIMALS;
  return {
    intercept: round(intercept),
    log_probability: round(log_probability),
    ...(picture_score !== undefined && { picture_score: round(picture_score) }),
    words: Object.fromEntries(Object.entries(words).map(([word, weight]) => [word, round(weight)])),
  };
}
