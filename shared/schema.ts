/**
 * The messages of the system, one zod schema each; the types are inferred from them.
 * Pure data: no I/O, no defaults that depend on a deployment.
 */

import * as z from "zod";
import { SHA256_HEX } from "./content-hash.ts";
import {
  MAX_ALT_CHARACTERS,
  MAX_BATCH_ITEMS,
  MAX_NEW_TOKENS,
  MAX_NUM_BEAMS,
  MAX_PROMPT_CHARACTERS,
  MIN_ALT_CHARACTERS,
} from "./limits.ts";
import { Problem } from "./problem.ts";

/** What can change the words of a caption; part of the cache key. Absent fields take the model's own defaults. */
export const GenerationOptions = z.strictObject({
  prompt: z.string().trim().min(1).max(MAX_PROMPT_CHARACTERS).optional().meta({
    description: "Words the caption begins with, e.g. 'a photograph of'.",
  }),
  max_new_tokens: z.coerce.number().int().min(1).max(MAX_NEW_TOKENS).optional().meta({
    description: "The most tokens to generate, the end token included.",
  }),
  num_beams: z.coerce.number().int().min(1).max(MAX_NUM_BEAMS).optional().meta({
    description: "Beams of the search; 1 is greedy.",
  }),
});
export type GenerationOptions = z.infer<typeof GenerationOptions>;

/** Every option of a caption request: generation, and how the alt text is shaped from the caption. */
export const CaptionOptions = GenerationOptions.extend({
  max_length: z.coerce.number().int().min(MIN_ALT_CHARACTERS).max(MAX_ALT_CHARACTERS).optional().meta({
    description: "The most characters of the alt text; cut on a word edge.",
  }),
});
export type CaptionOptions = z.infer<typeof CaptionOptions>;

/** A model and the exact build of it: `revision` changes whenever a caption could. */
export const ModelIdentity = z.object({ id: z.string().min(1), revision: z.string().min(1) });
export type ModelIdentity = z.infer<typeof ModelIdentity>;

/** What a model said of a picture; what the cache holds. */
export const GeneratedCaption = z.object({
  caption: z.string(),
  score: z.number().min(0).max(1).meta({
    description: "Geometric mean of the token probabilities; 0 where the captioner gives none.",
  }),
  picture_score: z.number().optional().meta({
    description: "How well such a picture can be described, where the model has a head that says so.",
  }),
  model: ModelIdentity,
});
export type GeneratedCaption = z.infer<typeof GeneratedCaption>;

/** A logistic regression that makes a caption's score of the probability that its model gave it, of its picture and of its words. */
export const ScoreWeights = z.object({
  intercept: z.number(),
  log_probability: z.number().meta({
    description: "Of the logarithm of the geometric mean of the token probabilities.",
  }),
  picture_score: z.number().optional().meta({
    description: "Of what the model's picture head says, where it has one.",
  }),
  words: z.record(z.string(), z.number()).meta({ description: "Of each word that the caption has." }),
});
export type ScoreWeights = z.infer<typeof ScoreWeights>;

/** From which score on a model's captions need no look, and how that was found; `npm run eval -- --calibrate`. */
export const Review = z.object({
  below: z.number().min(0).max(1).meta({ description: "Captions that score less are for review." }),
  measured_on: z.string().min(1).meta({ description: "The labelled set it was set on." }),
  pictures: z.number().int().positive().meta({ description: "How many pictures that set has." }),
  flagged_share: z.number().min(0).max(1).meta({ description: "Share of that set's captions for review." }),
  quality_above: z.number().min(0).max(1).nullable().meta({
    description:
      "ROUGE-L of the captions that are not, on pictures that the threshold was not set on; null where there were none.",
  }),
  weights: ScoreWeights.nullable().default(null).meta({
    description:
      "How the score is made; null where the geometric mean of the token probabilities alone says as much.",
  }),
});
export type Review = z.infer<typeof Review>;

/** Of a picture's bytes, as callers write it. */
export const Sha256 = z.string().regex(SHA256_HEX, "expected a SHA-256 as 64 lower-case hexadecimal digits");

/** The answer of the public API. */
export const Caption = z.object({
  sha256: Sha256.meta({ description: "SHA-256 of the picture's bytes." }),
  caption: z.string().meta({ description: "What the model said." }),
  alt: z.string().meta({ description: "The caption shaped as alt text." }),
  score: z.number().min(0).max(1).meta({
    description:
      "How far the caption is expected to say what people say of the picture, as the model was calibrated; of a model that was not, the geometric mean of the token probabilities.",
  }),
  needs_review: z.boolean().meta({
    description: "The score is under the model's own threshold, or the model has none yet.",
  }),
  model: ModelIdentity,
  cached: z.boolean(),
});
export type Caption = z.infer<typeof Caption>;

/** Options as the public API takes them, in the query or beside the picture. */
export const CaptionQuery = CaptionOptions.extend({
  language: z.string().optional().meta({
    description: "Language of the caption. Only English ('en', 'en-GB', ...) is spoken; others are refused.",
  }),
});
export type CaptionQuery = z.infer<typeof CaptionQuery>;

/** An address that anybody's browser would open. */
export const WebAddress = z.url({
  protocol: /^https?$/,
  error: "expected an address that begins with http:// or https://",
});

/**
 * What is sent in a header and stands in no log. Without the blanks at its ends, such as the line's end of the file it came out of:
 * a header cannot carry them. Of other characters than these workerd warns with the whole header.
 */
export const HeaderSecret = z
  .string()
  .trim()
  .regex(/^[\x20-\x7e]*$/, "expected ASCII characters, as it is sent in a header");

const PictureUrl = WebAddress.meta({ description: "Public address of the picture." });
const PictureBase64 = z.string().min(1).meta({ description: "The picture, base64 or a base64 data URL." });

/** `POST /v1/captions` in its JSON form: options beside one of `url` and `image`. */
export const CaptionJsonRequest = CaptionQuery.extend({
  url: PictureUrl.optional(),
  image: PictureBase64.optional(),
})
  .strict()
  .refine(({ url, image }) => (url === undefined) !== (image === undefined), {
    error: "expected exactly one of url and image",
  });
export type CaptionJsonRequest = z.infer<typeof CaptionJsonRequest>;

/** One picture of a batch; `metadata` comes back with its line. */
export const BatchItem = z
  .strictObject({
    url: PictureUrl.optional(),
    image: PictureBase64.optional(),
    sha256: Sha256.optional().meta({ description: "Hash of a picture that may have been captioned before." }),
    metadata: z.unknown().optional().meta({ description: "Any JSON; comes back with the item's line." }),
  })
  .refine(
    ({ url, image, sha256 }) => [url, image, sha256].filter((form) => form !== undefined).length === 1,
    {
      error: "expected exactly one of url, image and sha256",
    },
  );
export type BatchItem = z.infer<typeof BatchItem>;

/** `POST /v1/captions/batch`. Items are judged one by one, so that a bad one fails alone. */
export const BatchRequest = CaptionQuery.extend({
  items: z.array(z.unknown()).min(1).max(MAX_BATCH_ITEMS),
}).strict();
export type BatchRequest = z.infer<typeof BatchRequest>;

const BatchLineBase = z.object({
  index: z.number().int().min(0).meta({ description: "Place of the item in the request." }),
  metadata: z.unknown().optional(),
});

/** The line of an item that failed. */
export const BatchError = BatchLineBase.extend({ status: z.literal("error"), problem: Problem });

/** One line of a batch's NDJSON answer. */
export const BatchLine = z.discriminatedUnion("status", [
  BatchLineBase.extend(Caption.shape).extend({ status: z.literal("cached") }),
  BatchLineBase.extend(Caption.shape).extend({ status: z.literal("generated") }),
  BatchError,
]);
export type BatchLine = z.infer<typeof BatchLine>;

/** Options as Hugging Face nests them: pipelines say `generate_kwargs`, its inference API `generation_parameters`. */
const GenerateKwargs = z.object({
  max_new_tokens: GenerationOptions.shape.max_new_tokens,
  num_beams: GenerationOptions.shape.num_beams,
});

/** Hugging Face's image-to-text request in its JSON form. https://huggingface.co/docs/inference-providers/tasks/image-to-text */
export const ImageToTextRequest = z.object({
  inputs: z.string().min(1).meta({ description: "The picture, base64 or a data URL." }),
  parameters: z
    .object({
      max_new_tokens: GenerationOptions.shape.max_new_tokens,
      num_beams: GenerationOptions.shape.num_beams,
      prompt: GenerationOptions.shape.prompt,
      generate_kwargs: GenerateKwargs.optional(),
      generation_parameters: GenerateKwargs.optional(),
    })
    .optional(),
});
export type ImageToTextRequest = z.infer<typeof ImageToTextRequest>;

/** Hugging Face's image-to-text answer. */
export const ImageToTextOutput = z.object({ generated_text: z.string() });
export type ImageToTextOutput = z.infer<typeof ImageToTextOutput>;

/** `GET /v1/model` of a backend. */
export const BackendModel = ModelIdentity.extend({
  image_size: z.number().int().positive(),
  dtype: z.string(),
  limits: z.object({
    max_image_bytes: z.number().int(),
    max_image_pixels: z.number().int(),
    max_new_tokens: z.number().int(),
    max_num_beams: z.number().int(),
  }),
  defaults: z.object({ max_new_tokens: z.number().int(), num_beams: z.number().int() }),
  review: Review.nullable().default(null).meta({
    description: "Null until somebody calibrates the model: then every caption is for review.",
  }),
});
export type BackendModel = z.infer<typeof BackendModel>;
