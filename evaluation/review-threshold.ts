/**
 * From which score on a model's captions need no look. The rule: the captions that nobody looks at shall reach a ROUGE-L
 * midway between the best sentence that can be said of every picture and a person, not on average but at the lower end of
 * what the set allows to say (bootstrap); of the thresholds that hold it, the lowest. It is checked on halves of the set
 * that it was not set on.
 */

import type { Review } from "../shared/schema.ts";
import { createRandom, shuffled } from "./random.ts";
import { type ReferenceLevels, referenceLevels } from "./reference-levels.ts";
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
}

/** Halves of the set with a threshold set on the other half. */
export interface HeldOut {
  readonly halves: number;
  /** Halves whose threshold flags everything. */
  readonly all_flagged: number;
  readonly flagged_share: number;
  /** ROUGE-L of all unflagged captions; null where there are none. */
  readonly quality: number | null;
  /** Share of the halves with unflagged captions whose ROUGE-L reaches what is wanted. */
  readonly reached: number | null;
}

/** Fewer pictures say nothing about a threshold. */
export const MIN_PICTURES = 100;
/** Fewer unflagged captions are an accident. */
const MIN_UNFLAGGED = 20;
const RESAMPLES = 500;
/** One-sided. */
const CONFIDENCE = 0.95;
const SPLITS = 20;
/** Flags everything but a score of exactly 1. */
const FLAG_ALL = 1;
const SEED = 19;

/** Sets the threshold on `pictures` and checks the rule on halves of them. */
export function calibrateReview(
  pictures: readonly (ScoredCaption & { readonly references: readonly string[] })[],
  measuredOn: string,
): ReviewCalibration {
  const random = createRandom(SEED);
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
    },
    levels,
    wanted,
    held_out,
  };
}

/** The lowest score from which on ROUGE-L is `wanted` with confidence; undefined where there is none. */
export function lowestThreshold(
  pictures: readonly ScoredCaption[],
  wanted: number,
  random: () => number,
): number | undefined {
  const ranked = [...pictures].sort((a, b) => b.score - a.score);
  const bounds = lowerBounds(
    ranked.map(({ rouge }) => rouge),
    random,
  );
  for (let last = ranked.length - 1; last >= MIN_UNFLAGGED - 1; last--) {
    // Equal scores are on the same side of every threshold.
    if (ranked[last]?.score === ranked[last + 1]?.score) continue;
    if ((bounds[last] as number) >= wanted) return roundedDown((ranked[last] as ScoredCaption).score);
  }
  return undefined;
}

/** For each place, the lower confidence bound of the mean of the values up to it, all from the same resamples. */
function lowerBounds(values: readonly number[], random: () => number): number[] {
  const means: number[][] = values.map(() => []);
  for (let resample = 0; resample < RESAMPLES; resample++) {
    const drawn = new Uint16Array(values.length);
    for (let i = 0; i < values.length; i++) {
      const at = Math.floor(random() * values.length);
      drawn[at] = (drawn[at] as number) + 1;
    }
    let count = 0;
    let sum = 0;
    values.forEach((value, i) => {
      count += drawn[i] as number;
      sum += (drawn[i] as number) * value;
      if (count > 0) means[i]?.push(sum / count);
    });
  }
  return means.map((drawn) => {
    drawn.sort((a, b) => a - b);
    return drawn[Math.floor(drawn.length * (1 - CONFIDENCE))] ?? Number.NEGATIVE_INFINITY;
  });
}

function crossFit(pictures: readonly ScoredCaption[], wanted: number, random: () => number): HeldOut {
  const unflagged: number[][] = [];
  let all_flagged = 0;
  let judged = 0;
  for (let split = 0; split < SPLITS; split++) {
    const order = shuffled(pictures, random);
    const middle = Math.floor(order.length / 2);
    const [one, other] = [order.slice(0, middle), order.slice(middle)];
    for (const [set, check] of [[one, other] as const, [other, one] as const]) {
      judged += check.length;
      const below = lowestThreshold(set, wanted, random);
      if (below === undefined) all_flagged++;
      else unflagged.push(check.filter(({ score }) => score >= below).map(({ rouge }) => rouge));
    }
  }
  const some = unflagged.filter((half) => half.length > 0);
  return {
    halves: 2 * SPLITS,
    all_flagged,
    flagged_share: 1 - some.flat().length / judged,
    quality: some.length === 0 ? null : mean(some.flat()),
    reached: some.length === 0 ? null : mean(some.map((half) => (mean(half) >= wanted ? 1 : 0))),
  };
}

function flaggedShare(pictures: readonly ScoredCaption[], below: number): number {
  return mean(pictures.map(({ score }) => (score < below ? 1 : 0)));
}

const DECIMALS = 1e4;
const rounded = (value: number) => Math.round(value * DECIMALS) / DECIMALS;
const roundedDown = (value: number) => Math.floor(value * DECIMALS) / DECIMALS;
