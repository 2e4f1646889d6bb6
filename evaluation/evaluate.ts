/** Captions a labelled set and scores it. Knows no model: where captions come from is passed in. */

import { readFile, realpath, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import pMap from "p-map";
import type { CaptionClient } from "../client/index.ts";
import { type Calibration, calibrate } from "./calibration.ts";
import type { LabelledImage } from "./labels.ts";
import { ciderOfEach, rougeOfEach, type Scores, scoreCaptions } from "./scores/score.ts";

/** Enough for the captioner's largest batch, and for some pictures that are decoded meanwhile. */
const CONCURRENCY = 16;

/** What a model said about one picture. */
export interface Generated {
  readonly caption: string;
  /** 0..1, by the model's calibration. */
  readonly score: number;
  /** Geometric mean of its token probabilities, 0..1, if the source gives it. */
  readonly probability?: number;
  /** What the model's picture head says, if it has one and the source gives it. */
  readonly picture_score?: number;
  /** Whether a person should look at it, by the threshold that the model has now. */
  readonly needs_review: boolean;
}

/** Where captions come from: a bundle in this process, or an API. */
export interface CaptionSource {
  caption(bytes: Uint8Array<ArrayBuffer>): Promise<Generated>;
  /** Known once a caption has been made. */
  model(): { readonly id: string; readonly revision: string } | undefined;
}

/** One captioned picture, with what people said about it. */
export interface EvaluatedPicture extends Generated {
  readonly path: string;
  readonly references: readonly string[];
  readonly cider: number;
  readonly rouge: number;
}

export interface Evaluation {
  readonly pictures: readonly EvaluatedPicture[];
  readonly failed: number;
  readonly images_per_second: number;
  readonly model: ReturnType<CaptionSource["model"]>;
  readonly scores: Scores;
  readonly calibration: Calibration;
}

/** A running API as a source. It waits and asks again as the client does. */
export function captionsOverHttp(client: CaptionClient): CaptionSource {
  let model: ReturnType<CaptionSource["model"]>;
  return {
    async caption(bytes) {
      const caption = await client.caption(bytes);
      model = caption.model;
      return caption;
    },
    model: () => model,
  };
}

/**
 * Captions `set`, whose pictures lie in `folder`. A picture that fails is reported to `onFailure`, which may throw to end
 * the evaluation, and is left out. Undefined if all of them failed.
 */
export async function evaluate(options: {
  readonly set: readonly LabelledImage[];
  readonly folder: string;
  readonly source: CaptionSource;
  readonly onFailure: (image: string, error: unknown) => void;
}): Promise<Evaluation | undefined> {
  const { set, folder, source, onFailure } = options;
  const startedAt = performance.now();
  const captioned = await pMap(
    set,
    async ({ image, captions: references }) => {
      const path = join(folder, image);
      try {
        const generated = await source.caption(new Uint8Array(await readFile(await insideOf(folder, path))));
        const { caption, score, needs_review, probability, picture_score } = generated;
        return [
          {
            path,
            caption,
            score,
            needs_review,
            references,
            ...(probability !== undefined && { probability }),
            ...(picture_score !== undefined && { picture_score }),
          },
        ];
      } catch (error) {
        onFailure(image, error);
        return [];
      }
    },
    { concurrency: CONCURRENCY },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const made = captioned.flat();
  if (made.length === 0) return undefined;
  const words = made.map(({ caption, references }) => ({ candidate: caption, references }));
  const ciders = ciderOfEach(words);
  const rouges = rougeOfEach(words);
  const pictures = made.map((picture, i) => ({
    ...picture,
    cider: ciders[i] as number,
    rouge: rouges[i] as number,
  }));
  return {
    pictures,
    failed: set.length - made.length,
    images_per_second: made.length / seconds,
    model: source.model(),
    scores: scoreCaptions(words),
    calibration: calibrate(pictures),
  };
}

/**
 * The file that `path` leads to. Refuses one outside `folder`, because an unpacked archive may hold links to files that are
 * not its pictures.
 */
async function insideOf(folder: string, path: string): Promise<string> {
  const [root, file] = await Promise.all([realpath(folder), realpath(path)]);
  if (relative(root, file).split(sep)[0] === "..") {
    throw new Error(`is a link that leads out of ${folder}; copy the picture into that folder`);
  }
  // Opening a pipe blocks until somebody writes into it, and not even a signal ends a process that waits for this.
  if (!(await stat(file)).isFile()) throw new Error("is not a file");
  return file;
}
