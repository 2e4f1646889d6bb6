/**
 * How a picture becomes the model's pixels, read from preprocessor_config.json, or from processor_config.json as
 * transformers 5 writes it. A setting that would change the pixels and is not supported here is refused by name.
 */

import { join } from "node:path";
import * as z from "zod";
import { fileExists } from "../../bundle/file-exists.ts";
import { readJsonFile } from "../../bundle/json-file.ts";
import { WeightError } from "../weights/weights.ts";

/** How a picture becomes pixels. */
export interface Preprocessing {
  /** Edge of the square that the picture is resized to, in pixels. */
  readonly size: number;
  /** For values from 0 to 1. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  readonly resampling: "nearest" | "lanczos" | "bilinear" | "bicubic";
}

/** Pillow's numbers for its filters. */
const RESAMPLING = { 0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic" } as const;
const NOT_RESAMPLED: Readonly<Record<number, string>> = { 4: "box", 5: "hamming" };

const BYTE = 255;

const Triple = z.tuple([z.number(), z.number(), z.number()]);
const StdTriple = z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]);

/** Absent fields take the defaults of transformers' BlipImageProcessor. */
const ImageProcessor = z.looseObject({
  image_processor_type: z.string().optional(),
  do_resize: z.boolean().nullish(),
  do_center_crop: z.boolean().nullish(),
  do_pad: z.boolean().nullish(),
  do_rescale: z.boolean().nullish(),
  rescale_factor: z.number().positive().nullish(),
  do_normalize: z.boolean().nullish(),
  size: z
    .union(
      [
        z.number().int().positive(),
        z.object({ height: z.number().int().positive(), width: z.number().int().positive() }),
      ],
      "expected a number, or height and width: other ways of resizing are not BLIP's",
    )
    .nullish(),
  image_mean: Triple.nullish(),
  image_std: StdTriple.nullish(),
  resample: z.number().int().nullish(),
});
type ImageProcessor = z.infer<typeof ImageProcessor>;

/** Version 4 writes this file too, but without the settings. */
const Processor = z.looseObject({ image_processor: ImageProcessor.optional() });

const DEFAULT_SIZE = 384;
const DEFAULT_MEAN = [0.48145466, 0.4578275, 0.40821073] as const;
const DEFAULT_STD = [0.26862954, 0.26130258, 0.27577711] as const;
const DEFAULT_RESAMPLE = 3;

/** Reads the preprocessing of a model folder. @throws WeightError naming the file, the setting and what to do */
export async function readPreprocessing(folder: string): Promise<Preprocessing> {
  const found: Preprocessing[] = [];
  const own = join(folder, "preprocessor_config.json");
  if (await fileExists(own))
    found.push(toPreprocessing(await readJsonFile(own, ImageProcessor, WeightError), own));
  const whole = join(folder, "processor_config.json");
  const settings = (await fileExists(whole))
    ? (await readJsonFile(whole, Processor, WeightError)).image_processor
    : undefined;
  if (settings !== undefined) found.push(toPreprocessing(settings, whole));
  const [first, second] = found;
  if (first === undefined) {
    throw new WeightError(
      `${folder} has neither preprocessor_config.json nor a processor_config.json with an image_processor. Save the ` +
        "model's processor beside it: processor.save_pretrained(...).",
    );
  }
  if (second !== undefined && JSON.stringify(first) !== JSON.stringify(second)) {
    throw new WeightError(
      `${own} and ${whole} prepare pictures differently. Remove the one that is not the model's.`,
    );
  }
  return first;
}

function toPreprocessing(config: ImageProcessor, path: string): Preprocessing {
  const refuse = (what: string): never => {
    throw new WeightError(
      `${path} ${what}, which is not supported here: the model would see different pixels.`,
    );
  };
  const type = config.image_processor_type;
  if (type !== undefined && !/^Blip(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/.test(type)) {
    refuse(`names the image processor ${type}`);
  }
  if (config.do_resize === false) refuse("says do_resize: false");
  if (config.do_center_crop) refuse("says do_center_crop: true");
  if (config.do_pad) refuse("says do_pad: true");
  const size = config.size ?? DEFAULT_SIZE;
  const { height, width } = typeof size === "number" ? { height: size, width: size } : size;
  if (height !== width)
    throw new WeightError(`${path} asks for ${width}x${height}; BLIP's pictures are square.`);
  const filter = config.resample ?? DEFAULT_RESAMPLE;
  const resampling = RESAMPLING[filter as keyof typeof RESAMPLING];
  if (resampling === undefined) {
    refuse(`resamples with filter ${filter} (${NOT_RESAMPLED[filter] ?? "unknown"})`);
  }
  return { size: height, ...normalization(config), resampling };
}

/**
 * Turns (factor * byte - mean) / std into (byte / 255 - mean') / std', which is what the graph computes. Without
 * normalization mean and std are 0 and 1; without rescaling the factor is 1.
 */
function normalization(config: ImageProcessor): Pick<Preprocessing, "mean" | "std"> {
  const normalizes = config.do_normalize ?? true;
  const mean = normalizes ? (config.image_mean ?? DEFAULT_MEAN) : ([0, 0, 0] as const);
  const std = normalizes ? (config.image_std ?? DEFAULT_STD) : ([1, 1, 1] as const);
  const factor = (config.do_rescale ?? true) ? (config.rescale_factor ?? 1 / BYTE) : 1;
  const ratio = BYTE * factor;
  // The usual factor is 1 / 255 as a decimal fraction; then mean and std are kept to the last digit.
  if (Math.abs(ratio - 1) < 1e-9) return { mean, std };
  const scaled = ([a, b, c]: readonly [number, number, number]) => [a / ratio, b / ratio, c / ratio] as const;
  return { mean: scaled(mean), std: scaled(std) };
}
