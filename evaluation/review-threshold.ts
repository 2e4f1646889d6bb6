/**
 * From which score on a model's captions need no look. The rule: also the least sure of the captions that nobody looks at
 * shall reach a ROUGE-L midway between the best sentence that can be said of every picture and a person. Their mean alone
 * would let a good model's worst captions through beside its best. So scores are gone down from the highest, a tenth of the
 * set at a time, as long as the lower end of what the set allows to say of that tenth (bootstrap) is high enough. It is
 * checked on halves of the set that it was not set on.
 */

import type { Review } from "../shared/schema.ts";
import { createRandom, shuffled } from "./random.ts";
import { type ReferenceLevels, referenceLevels } from "./reference-levels.ts";
import { fitScore, type ProbableCaption } from "./score-fit.ts";
import { mean } from "./scores/ngrams.ts";

/** One captioned picture. */
export interface ScoredCaption {
  /** What the model thinks of it, 0..1. */
  readonly score: number;
  /** ROUGE-L of the caption. */
  readonly rouge: number;
}

/** What calibrating found: the review as the bundle carries it, and how far to trust it. */
export interface ReviewCalibration {
  readonly review: Review;
  readonly levels: ReferenceLevels;
  /** ROUGE-L that unflagged captions shall reach. */
  readonly wanted: number;
  readonly held_out: HeldOut;
  /** Score of each picture by weights that were fitted without it. */
  readonly scores: readonly number[];
}

/** Halves of the set with a threshold set on the other half. */
export interface HeldOut {
  readonly halves: number;
  /** Halves whose threshold flags everything. */
  readonly all_flagged: number;
  readonly flagged_share: number;
  /** ROUGE-L of all unflagged captions; null where there are none. */
  readonly quality: number | null;
  /** ROUGE-L of the least sure of them, a tenth of the half; null where there are none. */
  readonly least_sure: number | null;
}

/** Fewer pictures say nothing about a threshold. */
export const MIN_PICTURES = 100;
/** Share of a set whose captions are judged together. */
const WINDOW = 0.1;
/** Fewer captions say nothing together. */
const MIN_WINDOW = 40;
const RESAMPLES = 500;
/** One-sided. */
const CONFIDENCE = 0.95;
const SPLITS = 20;
/** Flags everything but a score of exactly 1. */
const FLAG_ALL = 1;
const SEED = 19;

/** Fits the score to `pictures`, sets the threshold on them and checks its rule on halves of them. */
export function calibrateReview(
  said: readonly (ProbableCaption & { readonly rouge: number; readonly references: readonly string[] })[],
  measuredOn: string,
): ReviewCalibration {
  const random = createRandom(SEED);
  const { weights, scores } = fitScore(said);
  const pictures = said.map((picture, i) => ({ ...picture, score: scores[i] as number }));
  const levels = referenceLevels(pictures.map(({ references }) => references));
  const wanted = (levels.constant + levels.person) / 2;
  const below = lowestThreshold(pictures, wanted, random) ?? FLAG_ALL;
  const held_out = crossFit(pictures, wanted, random);
  return {
    review: {
      below,
      measured_on: measuredOn,
      pictures: pictures.length,
      flagged_share: rounded(flaggedShare(pictures, below)),
      quality_above: held_out.quality === null ? null : rounded(held_out.quality),
      weights,
    },
    levels,
    wanted,
    held_out,
    scores,
  };
}

/** The lowest score down to which every tenth of the set is `wanted` with confidence; undefined where not even the best is. */
export function lowestThreshold(
  pictures: readonly ScoredCaption[],
  wanted: number,
  random: () => number,
): number | undefined {
  const ranked = byScore(pictures);
  const window = windowOf(pictures);
  const bounds = lowerBounds(
    ranked.map(({ rouge }) => rouge),
    { window, random },
  );
  let threshold: number | undefined;
  for (let last = window - 1; last < ranked.length && (bounds[last] as number) >= wanted; last++) {
    // Equal scores are on the same side of every threshold.
    if (ranked[last]?.score !== ranked[last + 1]?.score) {
      threshold = roundedDown((ranked[last] as ScoredCaption).score);
    }
  }
  return threshold;
}

function byScore(pictures: readonly ScoredCaption[]): ScoredCaption[] {
  return [...pictures].sort((a, b) => b.score - a.score);
}

function windowOf(pictures: readonly unknown[]): number {
  return Math.max(MIN_WINDOW, Math.round(WINDOW * pictures.length));
}

/** For each place, the lower confidence bound of the mean of the `window` values up to it, all from the same resamples. */
function lowerBounds(
  values: readonly number[],
  { window, random }: { readonly window: number; readonly random: () => number },
): number[] {
  const means: number[][] = values.map(() => []);
  const counts = new Float64Array(values.length + 1);
  const sums = new Float64Array(values.length + 1);
  for (let resample = 0; resample < RESAMPLES; resample++) {
    const drawn = new Uint16Array(values.length);
    for (let i = 0; i < values.length; i++) {
      const at = Math.floor(random() * values.length);
      drawn[at] = (drawn[at] as number) + 1;
    }
    values.forEach((value, i) => {
      counts[i + 1] = (counts[i] as number) + (drawn[i] as number);
      sums[i + 1] = (sums[i] as number) + (drawn[i] as number) * value;
    });
    for (let end = window; end <= values.length; end++) {
      const count = (counts[end] as number) - (counts[end - window] as number);
      if (count > 0) means[end - 1]?.push(((sums[end] as number) - (sums[end - window] as number)) / count);
    }
  }
  return means.map((drawn) => {
    drawn.sort((a, b) => a - b);
    return drawn[Math.floor(drawn.length * (1 - CONFIDENCE))] ?? Number.NEGATIVE_INFINITY;
  });
}

function crossFit(pictures: readonly ScoredCaption[], wanted: number, random: () => number): HeldOut {
  const unflagged: number[] = [];
  const leastSure: number[] = [];
  let all_flagged = 0;
  for (let split = 0; split < SPLITS; split++) {
    const order = shuffled(pictures, random);
    const middle = Math.floor(order.length / 2);
    const [one, other] = [order.slice(0, middle), order.slice(middle)];
    for (const [set, check] of [[one, other] as const, [other, one] as const]) {
      const below = lowestThreshold(set, wanted, random);
      if (below === undefined) {
        all_flagged++;
        continue;
      }
      const kept = byScore(check.filter(({ score }) => score >= below)).map(({ rouge }) => rouge);
      unflagged.push(...kept);
      leastSure.push(...kept.slice(-windowOf(check)));
    }
  }
  return {
    halves: 2 * SPLITS,
    all_flagged,
    flagged_share: 1 - unflagged.length / (SPLITS * pictures.length),
    quality: unflagged.length === 0 ? null : mean(unflagged),
    least_sure: leastSure.length === 0 ? null : mean(leastSure),
  };
}

function flaggedShare(pictures: readonly ScoredCaption[], below: number): number {
  return mean(pictures.map(({ score }) => (score < below ? 1 : 0)));
}

const DECIMALS = 1e4;
const rounded = (value: number) => Math.round(value * DECIMALS) / DECIMALS;
const roundedDown = (value: number) => Math.floor(value * DECIMALS) / DECIMALS;
