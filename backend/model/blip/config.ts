/** The files beside the weights of a BLIP model, checked: config.json and preprocessor_config.json. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { WeightError } from "../weights/weights.ts";

const Count = z.number().int().positive();

/** The backbone in front of a hybrid model's patch embedding; transformers' BLIP has none. */
const StemConfig = z.object({
  type: z.literal("efficientnet_lite"),
  batch_norm_eps: z.number().positive(),
  /** Of the first convolution, which halves the picture. */
  channels: Count,
  /** Inverted residual blocks; `stride` is that of a stage's first. */
  stages: z
    .array(
      z.object({
        kernel_size: Count,
        stride: Count,
        expand_ratio: Count,
        channels: Count,
        repeats: Count,
      }),
    )
    .min(1),
  /** Of the last convolution: what the patch embedding reads. */
  head_channels: Count,
});
export type StemConfig = z.infer<typeof StemConfig>;

/** Absent fields take the defaults of transformers' BlipVisionConfig. */
const VisionConfig = z.object({
  stem: StemConfig.optional(),
  hidden_size: z.number().int().positive().default(768),
  intermediate_size: z.number().int().positive().default(3072),
  num_hidden_layers: z.number().int().positive().default(12),
  num_attention_heads: z.number().int().positive().default(12),
  image_size: z.number().int().positive().default(384),
  patch_size: z.number().int().positive().default(16),
  hidden_act: z.literal("gelu").default("gelu"),
  layer_norm_eps: z.number().positive().default(1e-5),
});
export type VisionConfig = z.infer<typeof VisionConfig>;

/** Absent fields take the defaults of transformers' BlipTextConfig. */
const TextConfig = z.object({
  vocab_size: z.number().int().positive().default(30524),
  hidden_size: z.number().int().positive().default(768),
  intermediate_size: z.number().int().positive().default(3072),
  num_hidden_layers: z.number().int().positive().default(12),
  num_attention_heads: z.number().int().positive().default(8),
  max_position_embeddings: z.number().int().positive().default(512),
  hidden_act: z.literal("gelu").default("gelu"),
  layer_norm_eps: z.number().positive().default(1e-12),
  bos_token_id: z.number().int().nonnegative().default(30522),
  pad_token_id: z.number().int().nonnegative().default(0),
  /** What BLIP's generate ends a caption with; `eos_token_id` is not used for it. */
  sep_token_id: z.number().int().nonnegative().default(102),
});
export type TextConfig = z.infer<typeof TextConfig>;

const BlipConfig = z.object({
  model_type: z.literal("blip"),
  vision_config: z.preprocess((value) => value ?? {}, VisionConfig),
  text_config: z.preprocess((value) => value ?? {}, TextConfig),
});
export type BlipConfig = z.infer<typeof BlipConfig>;

const Triple = z.tuple([z.number(), z.number(), z.number()]);

/** Pillow's numbers for its filters. */
const RESAMPLING = { 0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic" } as const;

const PreprocessorConfig = z.object({
  size: z
    .union([
      z.number().int().positive(),
      z.object({ height: z.number().int().positive(), width: z.number().int().positive() }),
    ])
    .default(384),
  image_mean: Triple.default([0.48145466, 0.4578275, 0.40821073]),
  image_std: Triple.default([0.26862954, 0.26130258, 0.27577711]),
  resample: z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)]).default(3),
});

/** How a picture becomes pixels. */
export interface Preprocessing {
  /** Edge of the square the picture is squashed to, in pixels. */
  readonly size: number;
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  readonly resampling: (typeof RESAMPLING)[keyof typeof RESAMPLING];
}

/** Reads config.json of a model folder. @throws WeightError when it is not a BLIP this project can build */
export async function readBlipConfig(folder: string): Promise<BlipConfig> {
  return parseFile(join(folder, "config.json"), BlipConfig);
}

/** Reads preprocessor_config.json of a model folder. */
export async function readPreprocessing(folder: string): Promise<Preprocessing> {
  const path = join(folder, "preprocessor_config.json");
  const config = await parseFile(path, PreprocessorConfig);
  const { height, width } =
    typeof config.size === "number" ? { height: config.size, width: config.size } : config.size;
  if (height !== width)
    throw new WeightError(`${path} asks for ${width}x${height}; BLIP's pictures are square.`);
  return {
    size: height,
    mean: config.image_mean,
    std: config.image_std,
    resampling: RESAMPLING[config.resample],
  };
}

async function parseFile<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new WeightError(`${path} cannot be read; is this the folder of a Hugging Face model?`, { cause });
  }
  const parsed = schema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new WeightError(`${path} cannot be used:\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
