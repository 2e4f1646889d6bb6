/**
 * The messages of the system, one zod schema each; the types are inferred from them.
 * Pure data: no I/O, no defaults that depend on a deployment.
 */

import * as z from "zod/mini";
import { SHA256_HEX } from "./content-hash.ts";
import { described } from "./described.ts";
import {
  MAX_ALT_CHARACTERS,
  MAX_BATCH_ITEMS,
  MAX_NEW_TOKENS,
  MAX_NUM_BEAMS,
  MAX_PROMPT_CHARACTERS,
  MAX_URL_CHARACTERS,
  MIN_ALT_CHARACTERS,
} from "./limits.ts";
import { Problem } from "./problem.ts";

/**
 * A whole number from JSON, or as text from a query or a form. Booleans and lists are refused: coerced, `true` would count
 * as 1, and a list of one as its item.
 */
const wholeNumber = (from: number, to: number) =>
  z.pipe(
    z.transform((value: unknown): unknown =>
      typeof value === "object" || typeof value === "boolean" ? Number.NaN : value,
    ),
    z.coerce.number().check(z.int(), z.gte(from), z.lte(to)),
  );

/** What can change the words of a caption; part of the cache key. Absent fields take the model's own defaults. */
export const GenerationOptions = z.strictObject({
  prompt: described(
    z.optional(z.string().check(z.trim(), z.minLength(1), z.maxLength(MAX_PROMPT_CHARACTERS))),
    "Words the caption begins with, e.g. 'a photograph of'.",
  ),
  max_new_tokens: described(
    z.optional(wholeNumber(1, MAX_NEW_TOKENS)),
    "The most tokens to generate, the end token included.",
  ),
  num_beams: described(z.optional(wholeNumber(1, MAX_NUM_BEAMS)), "Beams of the search; 1 is greedy."),
});
export type GenerationOptions = z.infer<typeof GenerationOptions>;

/** Every option of a caption request: generation, and how the alt text is shaped from the caption. */
export const CaptionOptions = z.extend(GenerationOptions, {
  max_length: described(
    z.optional(wholeNumber(MIN_ALT_CHARACTERS, MAX_ALT_CHARACTERS)),
    "The most characters of the alt text; cut on a word edge.",
  ),
});
export type CaptionOptions = z.infer<typeof CaptionOptions>;

/** A model and the exact build of it: `revision` changes whenever a caption could. */
export const ModelIdentity = z.object({
  id: z.string().check(z.minLength(1)),
  revision: z.string().check(z.minLength(1)),
});
export type ModelIdentity = z.infer<typeof ModelIdentity>;

const share = () => z.number().check(z.gte(0), z.lte(1));

/** What a model said about a picture, which is what the cache holds. */
export const GeneratedCaption = z.object({
  caption: z.string(),
  score: described(share(), "Geometric mean of the token probabilities; 0 where the captioner gives none."),
  picture_score: described(
    z.optional(z.number()),
    "How well such a picture can be described, where the model has a head that says so.",
  ),
  model: ModelIdentity,
});
export type GeneratedCaption = z.infer<typeof GeneratedCaption>;

/** A logistic regression that makes a caption's score from the probability that its model gave it, its picture and its words. */
export const ScoreWeights = z.object({
  intercept: z.number(),
  log_probability: described(
    z.number(),
    "Of the logarithm of the geometric mean of the token probabilities.",
  ),
  picture_score: described(
    z.optional(z.number()),
    "Of what the model's picture head says, where it has one.",
  ),
  words: described(z.record(z.string(), z.number()), "Of each word that the caption has."),
});
export type ScoreWeights = z.infer<typeof ScoreWeights>;

/** The score from which a model's captions need no review, and how it was found: `npm run eval -- --calibrate`. */
export const Review = z.object({
  below: described(share(), "Captions that score less are for review."),
  measured_on: described(z.string().check(z.minLength(1)), "The labelled set it was set on."),
  pictures: described(z.int().check(z.positive()), "How many pictures that set has."),
  flagged_share: described(share(), "Share of that set's captions for review."),
  quality_above: described(
    z.nullable(share()),
    "ROUGE-L of the captions that are not, on pictures that the threshold was not set on; null where there were none.",
  ),
  weights: described(
    z._default(z.nullable(ScoreWeights), null),
    "How the score is made; null where the geometric mean of the token probabilities alone says as much.",
  ),
});
export type Review = z.infer<typeof Review>;

/** The SHA-256 of a picture's bytes, as callers write it. */
export const Sha256 = z
  .string()
  .check(z.regex(SHA256_HEX, "expected a SHA-256 as 64 lower-case hexadecimal digits"));

/** The answer of the public API. */
export const Caption = z.object({
  sha256: described(Sha256.clone(), "SHA-256 of the picture's bytes."),
  caption: described(z.string(), "What the model said."),
  alt: described(z.string(), "The caption shaped as alt text."),
  score: described(
    share(),
    "How well the caption is expected to say what people say of the picture, by the model's calibration. For a model that was not calibrated: the geometric mean of the token probabilities.",
  ),
  needs_review: described(
    z.boolean(),
    "The score is below the model's own threshold, or the model has none yet.",
  ),
  model: ModelIdentity,
  cached: z.boolean(),
});
export type Caption = z.infer<typeof Caption>;

/** Options as the public API takes them, in the query or beside the picture. */
export const CaptionQuery = z.extend(CaptionOptions, {
  language: described(
    z.optional(z.string()),
    "Language of the caption. Only English ('en', 'en-GB', ...) is supported; others are refused.",
  ),
});
export type CaptionQuery = z.infer<typeof CaptionQuery>;

/** An address that anybody's browser would open. */
export const WebAddress = z.url({
  protocol: /^https?$/,
  error: ({ input }) =>
    typeof input === "string" && /^\s*https?:\/\//i.test(input)
      ? "expected an address with a valid host and port"
      : "expected an address that begins with http:// or https://",
});

/**
 * The longest that an address may be, with a message of its own: an address's message would otherwise be given for its
 * length too.
 */
export const atMost = (characters: number) =>
  z.maxLength(characters, `expected at most ${characters} characters`);

/**
 * A secret that is sent in a header and never logged. White space at its ends is removed, such as the line end of the file
 * it came from, because a header cannot carry it. Other characters are refused, because workerd's warning about them shows
 * the whole header.
 */
export const HeaderSecret = z
  .string()
  .check(z.trim(), z.regex(/^[\x20-\x7e]*$/, "expected ASCII characters, as it is sent in a header"));

const PictureUrl = described(
  z.optional(WebAddress.check(atMost(MAX_URL_CHARACTERS))),
  "Public address of the picture.",
);
const PictureBase64 = described(
  z.optional(z.string().check(z.minLength(1))),
  "The picture, base64 or a base64 data URL.",
);

/** `POST /v1/captions` in its JSON form: options, and either `url` or `image`. */
export const CaptionJsonRequest = z.extend(CaptionQuery, { url: PictureUrl, image: PictureBase64 }).check(
  z.refine(({ url, image }) => (url === undefined) !== (image === undefined), {
    error: "expected exactly one of url and image",
  }),
);
export type CaptionJsonRequest = z.infer<typeof CaptionJsonRequest>;

/** One picture of a batch; `metadata` comes back with its line. */
export const BatchItem = z
  .strictObject({
    url: PictureUrl,
    image: PictureBase64,
    sha256: described(z.optional(Sha256), "Hash of a picture that may have been captioned before."),
    metadata: described(
      z.optional(z.unknown()),
      "Any JSON; returned with the item's line. Send numbers past 9007199254740991 as text.",
    ),
  })
  .check(
    z.refine(
      ({ url, image, sha256 }) => [url, image, sha256].filter((form) => form !== undefined).length === 1,
      { error: "expected exactly one of url, image and sha256" },
    ),
  );
export type BatchItem = z.infer<typeof BatchItem>;

/** `POST /v1/captions/batch`. Items are judged one by one, so that a bad one fails alone. */
export const BatchRequest = z.extend(CaptionQuery, {
  items: z.array(z.unknown()).check(z.minLength(1), z.maxLength(MAX_BATCH_ITEMS)),
});
export type BatchRequest = z.infer<typeof BatchRequest>;

const BatchLineBase = z.object({
  index: described(z.int().check(z.gte(0)), "Place of the item in the request."),
  metadata: z.optional(z.unknown()),
});

/** The line of an item that was found in the cache. */
export const BatchHit = z.extend(BatchLineBase, { ...Caption.shape, status: z.literal("cached") });
/** The line of an item that was captioned anew. */
export const BatchCaption = z.extend(BatchLineBase, { ...Caption.shape, status: z.literal("generated") });
/** The line of an item that failed. */
export const BatchError = z.extend(BatchLineBase, {
  status: z.literal("error"),
  problem: Problem,
  retry_after: described(
    z.optional(z.int().check(z.gte(0))),
    "Seconds after which to send the item again, if its failure passes.",
  ),
});

/** One line of a batch's NDJSON answer. */
export const BatchLine = z.discriminatedUnion("status", [BatchHit, BatchCaption, BatchError]);
export type BatchLine = z.infer<typeof BatchLine>;

/** Options as Hugging Face nests them: its pipelines say `generate_kwargs`, its inference API says `generation_parameters`. */
const GenerateKwargs = z.object({
  max_new_tokens: GenerationOptions.shape.max_new_tokens,
  num_beams: GenerationOptions.shape.num_beams,
});

/** Hugging Face's image-to-text request in its JSON form. https://huggingface.co/docs/inference-providers/tasks/image-to-text */
export const ImageToTextRequest = z.object({
  inputs: described(z.string().check(z.minLength(1)), "The picture, base64 or a data URL."),
  parameters: z.optional(
    z.object({
      ...GenerationOptions.shape,
      generate_kwargs: z.optional(GenerateKwargs),
      generation_parameters: z.optional(GenerateKwargs),
    }),
  ),
});
export type ImageToTextRequest = z.infer<typeof ImageToTextRequest>;

/** Hugging Face's image-to-text answer. */
export const ImageToTextOutput = z.object({ generated_text: z.string() });
export type ImageToTextOutput = z.infer<typeof ImageToTextOutput>;

/** `GET /v1/model` of a backend. */
export const BackendModel = z.extend(ModelIdentity, {
  image_size: z.int().check(z.positive()),
  dtype: z.string(),
  limits: z.object({
    max_image_bytes: z.int(),
    max_image_pixels: z.int(),
    max_new_tokens: z.int(),
    max_num_beams: z.int(),
  }),
  defaults: z.object({ max_new_tokens: z.int(), num_beams: z.int() }),
  review: described(
    z._default(z.nullable(Review), null),
    "Null until somebody calibrates the model: then every caption is for review.",
  ),
});
export type BackendModel = z.infer<typeof BackendModel>;
