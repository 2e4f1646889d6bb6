/** config.json of a BLIP model, checked. */

import { join } from "node:path";
import * as z from "zod";
import { readJsonFile } from "../../bundle/json-file.ts";
import { WeightError } from "../weights/weights.ts";

const Count = z.number().int().positive();
const TokenId = z.number().int().nonnegative();

interface Heads {
  readonly hidden_size: number;
  readonly num_attention_heads: number;
}
const headsFit = ({ hidden_size: hidden, num_attention_heads: heads }: Heads) => hidden % heads === 0;
const HEADS_FIT = { path: ["num_attention_heads"], error: "expected a divisor of hidden_size" };

/** The backbone in front of a hybrid model's patch embedding; transformers' BLIP has none. */
const StemConfig = z.object({
  type: z.literal("efficientnet_lite"),
  batch_norm_eps: z.number().positive(),
  /** Channels of the first convolution, which halves the picture. */
  channels: Count,
  /** Stages of inverted residual blocks; `stride` applies to a stage's first block. */
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
  /** Channels of the last convolution, which the patch embedding reads. */
  head_channels: Count,
});
export type StemConfig = z.infer<typeof StemConfig>;

/** Absent fields take the defaults of transformers' BlipVisionConfig. */
const VisionConfig = z
  .object({
    stem: StemConfig.optional(),
    hidden_size: Count.default(768),
    intermediate_size: Count.default(3072),
    num_hidden_layers: Count.default(12),
    num_attention_heads: Count.default(12),
    image_size: Count.default(384),
    patch_size: Count.default(16),
    hidden_act: z.literal("gelu").default("gelu"),
    layer_norm_eps: z.number().positive().default(1e-5),
  })
  .refine(headsFit, HEADS_FIT);
export type VisionConfig = z.infer<typeof VisionConfig>;

const plain = (value: number | boolean | null) =>
  z.literal([value, null], {
    error:
      "this generation setting is not supported here; transformers 4 follows it, transformers 5 mostly does not: remove it from config.json to caption without it",
  });

/** Generation settings that the configuration may contain: values that change nothing, as transformers 4 writes them. */
const PlainGeneration = z
  .object({
    bad_words_ids: plain(null),
    begin_suppress_tokens: plain(null),
    diversity_penalty: plain(0),
    do_sample: plain(false),
    early_stopping: plain(false),
    encoder_no_repeat_ngram_size: plain(0),
    exponential_decay_length_penalty: plain(null),
    forced_bos_token_id: plain(null),
    forced_eos_token_id: plain(null),
    length_penalty: plain(1),
    min_length: plain(0),
    min_new_tokens: plain(0),
    no_repeat_ngram_size: plain(0),
    num_beam_groups: plain(1),
    num_beams: plain(1),
    repetition_penalty: plain(1),
    suppress_tokens: plain(null),
  })
  .partial();

/** Absent fields take the defaults of transformers' BlipTextConfig. */
const TextConfig = z
  .object({
    vocab_size: Count.default(30524),
    hidden_size: Count.default(768),
    intermediate_size: Count.default(3072),
    num_hidden_layers: Count.default(12),
    num_attention_heads: Count.default(8),
    max_position_embeddings: Count.default(512),
    hidden_act: z.literal("gelu").default("gelu"),
    layer_norm_eps: z.number().positive().default(1e-12),
    bos_token_id: TokenId.default(30522),
    pad_token_id: TokenId.default(0),
    /** The token that ends a caption in BLIP's generate, which does not use `eos_token_id`. */
    sep_token_id: TokenId.default(102),
    tie_word_embeddings: z.boolean().default(true),
    ...PlainGeneration.shape,
  })
  .refine(headsFit, HEADS_FIT)
  .superRefine((config, context) => {
    // An id past the vocabulary has no embedding, and a caption whose end token is past it would never end.
    for (const key of ["bos_token_id", "pad_token_id", "sep_token_id"] as const) {
      if (config[key] < config.vocab_size) continue;
      const message = `expected an id below vocab_size, ${config.vocab_size}; it is ${config[key]}`;
      context.addIssue({ code: "custom", path: [key], message });
    }
  });
export type TextConfig = z.infer<typeof TextConfig>;

const BlipConfig = z.object({
  model_type: z.literal("blip"),
  /** Both here and in `text_config`: the output matrix is the word embedding unless both are false. */
  tie_word_embeddings: z.boolean().default(true),
  vision_config: z.preprocess((value) => value ?? {}, VisionConfig),
  text_config: z.preprocess((value) => value ?? {}, TextConfig),
});
export type BlipConfig = z.infer<typeof BlipConfig>;

/** Reads config.json from a model folder. @throws WeightError if it is not a BLIP that this project can build */
export async function readBlipConfig(folder: string): Promise<BlipConfig> {
  return readJsonFile(join(folder, "config.json"), BlipConfig, WeightError);
}
