/**
 * Finds the score from which a model's captions need no review. The rule: even the least sure of the captions that nobody
 * reviews must reach a ROUGE-L midway between the best single sentence for all pictures and a person. A rule for their mean
 * alone would let a good model's worst captions through beside its best. So the rule judges the ROUGE-L to be expected at a
 * score. This expectation can only rise with the score (isotonic regression), and its lower confidence bound is what counts
 * (bootstrap). Each threshold is checked on the half of the set that it was not set on.
 */

import type { Review } from "../shared/schema.ts";
import { createRandom, shuffled } from "./random.ts";
import { type ReferenceLevels, referenceLevels } from "./reference-levels.ts";
import { fitScore, type ProbableCaption } from "./score-fit.ts";
import { mean } from "./statistics.ts";

/** One captioned picture. */
export interface ScoredCaption {
  /** The model's score of it, 0..1. */
  readonly score: number;
  /** ROUGE-L of the caption. */
  readonly rouge: number;
}

/** What calibrating found: the review as the bundle carries it, and how far to trust it. */
export interface ReviewCalibration {
  readonly review: Review;
  readonly levels: ReferenceLevels;
  /** ROUGE-L that unflagged captions must reach. */
  readonly wanted: number;
  readonly held_out: HeldOut;
  /** Score of each picture by weights that were fitted without it. */
  readonly scores: readonly number[];
}

/** What happens on halves of the set with a threshold that was set on the other half. */
export interface HeldOut {
  readonly halves: number;
  /** Halves whose threshold flags everything. */
  readonly all_flagged: number;
  readonly flagged_share: number;
  /** ROUGE-L of all unflagged captions; null if there are none. */
  readonly quality: number | null;
  /** ROUGE-L of the least sure of them, a tenth of the half; null if there are none. */
  readonly least_sure: number | null;
}

/** Fewer pictures say nothing about a threshold. */
export const MIN_PICTURES = 100;
/** With fewer unflagged captions everything is flagged, because so few say nothing. */
const MIN_UNFLAGGED = 20;
/** Share of a half that is reported as its least sure captions. */
const LEAST_SURE = 0.1;
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

/**
 * The lowest score from which the expected ROUGE-L is `wanted` or more with confidence; undefined if not even the best
 * captions reach it.
 */
export function lowestThreshold(
  pictures: readonly ScoredCaption[],
  wanted: number,
  random: () => number,
): number | undefined {
  // Equal scores are on the same side of every threshold.
  const byScore = Map.groupBy(bestFirst(pictures), ({ score }) => score);
  const bounds = lowerBounds(
    [...byScore.values()].map((same) => same.map(({ rouge }) => rouge)),
    random,
  );
  let threshold: number | undefined;
  let unflagged = 0;
  [...byScore].forEach(([score, same], i) => {
    unflagged += same.length;
    if (unflagged >= MIN_UNFLAGGED && (bounds[i] as number) >= wanted) threshold = roundedDown(score);
  });
  return threshold;
}

function bestFirst(pictures: readonly ScoredCaption[]): ScoredCaption[] {
  return [...pictures].sort((a, b) => b.score - a.score);
}

/** For each group of values, the lower confidence bound of its expected value, given that this never rises from group to group. */
function lowerBounds(groups: readonly (readonly number[])[], random: () => number): number[] {
  const values = groups.flatMap((group, i) => group.map((value) => ({ value, group: i })));
  const expected: number[][] = groups.map(() => []);
  for (let resample = 0; resample < RESAMPLES; resample++) {
    const drawn = groups.map(() => ({ sum: 0, count: 0 }));
    for (let i = 0; i < values.length; i++) {
      const { value, group } = values[Math.floor(random() * values.length)] as (typeof values)[number];
      const of = drawn[group] as (typeof drawn)[number];
      of.sum += value;
      of.count++;
    }
    neverRising(drawn).forEach((value, i) => {
      expected[i]?.push(value);
    });
  }
  return expected.map((of) => {
    of.sort((a, b) => a - b);
    return of[Math.floor(of.length * (1 - CONFIDENCE))] as number;
  });
}

/**
 * The sequence that never rises and is nearest to the groups' means, by pooling adjacent violators (isotonic regression;
 * Ayer et al. 1955). A group without values takes its neighbour's mean.
 */
export function neverRising(groups: readonly { readonly sum: number; readonly count: number }[]): number[] {
  const blocks: { sum: number; count: number; groups: number }[] = [];
  for (const group of groups) {
    let block = { ...group, groups: 1 };
    for (let before = blocks.at(-1); before && !falls(before, block); before = blocks.at(-1)) {
      blocks.pop();
      block = {
        sum: before.sum + block.sum,
        count: before.count + block.count,
        groups: before.groups + block.groups,
      };
    }
    blocks.push(block);
  }
  return blocks.flatMap((block) => Array<number>(block.groups).fill(block.sum / block.count));
}

/** Whether the mean falls from one group to the other; an empty group has no mean. */
function falls(from: { sum: number; count: number }, to: { sum: number; count: number }): boolean {
  return from.count > 0 && to.count > 0 && to.sum * from.count < from.sum * to.count;
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
      const kept = bestFirst(check.filter(({ score }) => score >= below)).map(({ rouge }) => rouge);
      unflagged.push(...kept);
      leastSure.push(...kept.slice(-Math.round(LEAST_SURE * check.length)));
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
