/** `npm run -s eval`: captions a labelled set and scores the captions against what people wrote. */

import { appendFile, writeFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import * as z from "zod";
import { writeReview } from "../backend/bundle/bundle.ts";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { saveEmbeddedReview } from "../backend/model/embedded.ts";
import { calibrate } from "../evaluation/calibration.ts";
import {
  type CaptionSource,
  captionsOverHttp,
  type EvaluatedPicture,
  type Evaluation,
  evaluate,
} from "../evaluation/evaluate.ts";
import { readLabels } from "../evaluation/labels.ts";
import { renderReport } from "../evaluation/report.ts";
import { calibrateReview, MIN_PICTURES, type ReviewCalibration } from "../evaluation/review-threshold.ts";
import { judgeCaption } from "../shared/review.ts";
import { WebAddress } from "../shared/schema.ts";
import { openApi } from "./captioners.ts";
import { CommandError, runCommand, UsageError, userPath } from "./command-line.ts";
import { naming, systemErrorWords } from "./error-text.ts";
import { fitNotice, printEvaluation, printEvaluationJson } from "./eval-output.ts";
import { apiKey, bundleFolder, requireOneCaptioner } from "./options.ts";
import { progressLine } from "./progress.ts";
import { printable } from "./terminal-text.ts";

const Options = z.object({
  images: z.string().meta({ description: "Folder of the pictures.", value: "DIR" }),
  captions: z.string().meta({
    description: 'Lines of {"image": "NAME.jpg", "split": "dev", "captions": ["...", ...]}.',
    value: "FILE.jsonl",
  }),
  split: z.string().optional().meta({ description: "Only the lines of this split.", value: "NAME" }),
  url: z.optional(WebAddress).meta({
    description: "Score a running API instead of a bundle in this process.",
    value: "API",
  }),
  key: apiKey,
  bundle: bundleFolder,
  calibrate: z
    .boolean()
    .default(false)
    .describe(
      `Write into the bundle the score from which captions need no review. Needs ${MIN_PICTURES} pictures, better 200 or more, with several captions each.`,
    ),
  report: z.string().optional().meta({
    description:
      "Also write a page with scores, calibration, and the best and worst pictures beside what people said.",
    value: "FILE.html",
  }),
  json: z.boolean().default(false).describe("Print one JSON object."),
});
type Options = z.output<typeof Options>;

const COMMAND = {
  invocation: "npm run -s eval --",
  summary: "Captions a labelled set of pictures and scores the captions against what people wrote.",
  arguments: z.tuple([], "expected no arguments besides the options"),
  options: Options,
  examples: ["npm run -s eval -- --images flickr8k/images --captions flickr8k/captions.jsonl --split dev"],
} as const;

async function main({ options: given }: { options: Options }): Promise<number> {
  const options: Options = {
    ...given,
    images: userPath(given.images),
    captions: userPath(given.captions),
    ...(given.bundle === undefined ? {} : { bundle: userPath(given.bundle) }),
    ...(given.report === undefined ? {} : { report: userPath(given.report) }),
  };
  if (options.calibrate && options.url !== undefined) {
    throw new UsageError(`--calibrate writes into a bundle; name it with --bundle in place of --url.`);
  }
  requireOneCaptioner(options);
  const set = await readLabels(options.captions, options.split).catch(naming(options.captions));
  if (options.calibrate)
    requireEnough(
      set.map(({ captions }) => captions),
      options,
    );
  // Fails now if the report cannot be written, not after everything has been captioned.
  if (options.report) await appendFile(options.report, "");
  const [local, api] =
    options.url === undefined
      ? ([await inProcess(options.bundle), undefined] as const)
      : ([undefined, openApi(options.url, options.key)] as const);
  const source = local === undefined ? captionsOverHttp(api.client) : local;
  const evaluated = await evaluate({
    set,
    folder: options.images,
    source,
    onFailure: (image, error) => {
      const end = api?.whyNoOther(error);
      if (end !== undefined) throw new CommandError(end);
      console.error(
        printable(
          `${image}: ${systemErrorWords(error) ?? (error instanceof Error ? error.message : String(error))}`,
        ),
      );
    },
  });
  await local?.close();
  if (evaluated === undefined) throw new CommandError("No picture could be captioned.");
  const calibrated = options.calibrate ? await calibrateBundle(evaluated, options) : undefined;
  const evaluation = calibrated ? judgedAnew(evaluated, calibrated) : evaluated;
  // After calibrating, each picture is judged by a score that was fitted without it.
  const isFitted = calibrated ? false : local ? local.fittedTo === nameOfSet(options) : null;
  const notice = fitNotice(isFitted);
  // Printed first, so that the long work is not lost if there is no room for the report.
  if (options.json) printEvaluationJson(evaluation, calibrated, isFitted);
  else printEvaluation(evaluation, calibrated, notice);
  if (options.report) {
    const parts = { dataSet: nameOfSet(options), date: new Date(), notice };
    await writeFile(options.report, await renderReport(evaluation, parts));
  }
  return evaluation.failed > 0 ? 1 : 0;
}

/** @throws CommandError if too few pictures have captions by several people, which a threshold needs */
function requireEnough(captions: readonly (readonly string[])[], options: Options): void {
  const withSeveral = captions.filter(({ length }) => length > 1).length;
  if (withSeveral >= MIN_PICTURES) return;
  throw new CommandError(
    `A threshold needs at least ${MIN_PICTURES} pictures with two or more captions each; ${options.captions} gave ${withSeveral}.`,
  );
}

/** Writes the threshold into the bundle; the embedded model's is also stored beside its weights. */
async function calibrateBundle({ pictures }: Evaluation, options: Options): Promise<ReviewCalibration> {
  requireEnough(
    pictures.map(({ references }) => references),
    options,
  );
  const calibrated = calibrateReview(pictures.map(withProbability), nameOfSet(options));
  await (options.bundle === undefined
    ? saveEmbeddedReview(calibrated.review)
    : writeReview(options.bundle, calibrated.review));
  return calibrated;
}

/** The name of the set, as `measured_on` of a review gives it. */
function nameOfSet({ captions, split }: Options): string {
  const labels = `${basename(dirname(resolve(captions)))}/${basename(captions)}`;
  return split === undefined ? labels : `${labels}, ${split}`;
}

function withProbability(picture: EvaluatedPicture) {
  const { probability } = picture;
  if (probability === undefined) throw new Error("This is a bug: a bundle gave no probability.");
  return { ...picture, score: probability };
}

/** Judges each picture by a score that was fitted without it, because the new weights would flatter the set they were fitted to. */
function judgedAnew(evaluation: Evaluation, { scores, review: { below } }: ReviewCalibration): Evaluation {
  const pictures = evaluation.pictures.map((picture, i) => {
    const score = scores[i] as number;
    const { caption } = picture;
    return { ...picture, ...judgeCaption({ caption, score }, { below, weights: null }) };
  });
  return { ...evaluation, pictures, calibration: calibrate(pictures) };
}

/** A bundle in this process as a source; close it when done. */
async function inProcess(
  bundle: string | undefined,
): Promise<CaptionSource & { readonly fittedTo: string | undefined; close(): Promise<void> }> {
  const { captioner, engine } = await openLocalCaptioner(bundle, {
    onProgress: progressLine("Building the embedded model"),
  });
  const { id, revision, review } = captioner.model;
  return {
    async caption(bytes) {
      const result = await captioner.caption(bytes);
      if (!result.ok) throw new Error(`${result.failure.detail} (${result.failure.code})`);
      const { caption, score: probability, picture_score } = result.value;
      const head = picture_score !== undefined && { picture_score };
      return { caption, probability, ...head, ...judgeCaption(result.value, review ?? undefined) };
    },
    model: () => ({ id, revision }),
    /** The set that the score's weights were fitted to. */
    fittedTo: review?.weights ? review.measured_on : undefined,
    close: () => engine.close(),
  };
}

await runCommand(COMMAND, main);
