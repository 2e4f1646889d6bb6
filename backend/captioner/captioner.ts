/**
 * From a picture's bytes to its caption: remembers recent captions, joins identical pictures, decodes, batches, and
 * turns tokens into text. No HTTP and no environment: the server and the command line share it.
 */

import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { imageTooLarge } from "../../shared/intake/base64.ts";
import { MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, MAX_NEW_TOKENS, MAX_NUM_BEAMS } from "../../shared/limits.ts";
import { type Failure, FailureError } from "../../shared/problem.ts";
import { failure, type Result, success } from "../../shared/result.ts";
import type { BackendModel, GenerationOptions } from "../../shared/schema.ts";
import type { Bundle } from "../bundle/bundle.ts";
import type { Tokenizer } from "../bundle/tokenizer.ts";
import { type DecodingOptions, type Engine, NO_SERVER } from "../engines/engine.ts";
import { warmUp } from "../engines/warm-up.ts";
import { blankPicture } from "../picture/blank-picture.ts";
import type { PixelFormat } from "../picture/decode.ts";
import { createDecodeQueue, type DecodeQueue } from "../picture/decode-queue.ts";
import { type Decoder, NO_DECODER } from "../picture/decoder.ts";
import type { Demand } from "../picture/demand.ts";
import { inProcessDecoder } from "../picture/in-process-decoder.ts";
import { inspectPicture } from "../picture/inspect.ts";
import { PICTURE_LIMITS } from "../picture/limits.ts";
import { createBatcher, type ForwardPass } from "./batcher.ts";
import { createJoinedWork, LEFT } from "./joined-work.ts";

export interface CaptionerOptions {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly maxBatchSize?: number;
  /** Most pictures decoded at once. */
  readonly decodeLanes?: number;
  /** Starts the decoder of one lane; by default it decodes in this process. A server passes one that starts a process. */
  readonly startDecoder?: () => Decoder;
  /** Called with pixels that are no longer read, so that a decoder may write the next picture there. */
  readonly onPixelsRead?: (pixels: Uint8Array) => void;
  /** How many captions are remembered; 0 for none. */
  readonly recentCaptions?: number;
  /** Called after every forward pass. */
  readonly onForwardPass?: (pass: ForwardPass) => void;
}

/** Where a caption came from: its own forward pass, one already under way for the same picture, or memory. */
export type CaptionSource = "generated" | "joined" | "recent";

export interface CaptionerAnswer {
  readonly caption: string;
  /** Geometric mean of the token probabilities, end token included, 0..1. */
  readonly score: number;
  /**
   * The picture head's estimate of how well such a picture can be described; absent if the bundle has no picture
   * head.
   */
  readonly picture_score?: number;
  readonly source: CaptionSource;
  /** How long each stage took; absent if no work was done for this caller. */
  readonly timings?: StageTimings;
}

export interface StageTimings {
  /** When decoding began, by `performance.now()`; the stages follow each other without a gap. */
  readonly startedAtMs: number;
  readonly decodeMs: number;
  readonly queueMs: number;
  readonly inferenceMs: number;
}

export interface Captioner {
  readonly model: BackendModel;
  /**
   * Captions one picture. Fails with the codes of inspect.ts and decode.ts, `image-too-large`, `bad-options`, or
   * `deadline-exceeded` when `signal` aborts.
   */
  caption(
    bytes: Uint8Array<ArrayBuffer>,
    options?: GenerationOptions,
    call?: CaptionCall,
  ): Promise<Result<CaptionerAnswer>>;
  /**
   * Decodes in every lane and runs the model at every batch size whose first pass is slow, so that no caller pays
   * for it.
   */
  warmUp(): Promise<void>;
  /** Why no picture could be captioned now; undefined if one could. */
  unreadiness(): Promise<Failure | undefined>;
  /** Pictures waiting for a forward pass. */
  readonly queueDepth: number;
  /** Seconds that they will keep the engine busy. */
  readonly backlogSeconds: number;
  /** Ends the decoders. */
  close(): void;
}

/** Who asks, and how long they wait. */
export interface CaptionCall extends Partial<Demand> {
  /** Whom the caption is for. Different owners neither join each other's work nor share remembered captions. */
  readonly owner?: string | undefined;
  /**
   * Called with a promise that settles when the picture's bytes are no longer in use. A decoder may still read them
   * after the answer.
   */
  readonly onBytesInUse?: (until: Promise<unknown>) => void;
}

type Words = Pick<CaptionerAnswer, "caption" | "score" | "picture_score">;
type Generated = Result<Words & { readonly timings: StageTimings }>;

/** A hundred times what a photograph takes. */
const DECODE_TURN_MS = 1_000;

/** The pixel format that a bundle's model takes. */
export function pixelFormat({ manifest }: Bundle): PixelFormat {
  return { size: manifest.image.size, filter: manifest.image.resampling };
}

const NEVER = new AbortController().signal;

/** Creates a captioner on `engine`, which the caller must close. The model is cold until `warmUp`. */
export function createCaptioner({
  engine,
  tokenizer,
  maxBatchSize = 8,
  decodeLanes = 2,
  startDecoder = () => inProcessDecoder({ format: pixelFormat(engine.bundle), limits: PICTURE_LIMITS }),
  onPixelsRead,
  recentCaptions = 0,
  onForwardPass,
}: CaptionerOptions): Captioner {
  const decoders: DecodeQueue = createDecodeQueue({
    lanes: decodeLanes,
    memoryBytes: PICTURE_LIMITS.maxDecodeBytes,
    turnMs: DECODE_TURN_MS,
    startDecoder,
  });
  const batcher = createBatcher({ engine, maxBatchSize, ...(onForwardPass && { onForwardPass }) });
  const inFlight = createJoinedWork<Generated>();
  const recent = recentCaptions > 0 ? new LRUCache<string, Words>({ max: recentCaptions }) : undefined;

  async function decode(bytes: Uint8Array<ArrayBuffer>, demand: Demand): Promise<Result<Uint8Array>> {
    const inspected = inspectPicture(bytes, PICTURE_LIMITS);
    return inspected.ok ? decoders.decode(inspected.value, demand) : inspected;
  }

  async function generate(
    bytes: Uint8Array<ArrayBuffer>,
    decoding: DecodingOptions,
    demand: Demand,
  ): Promise<Generated> {
    const startedAt = performance.now();
    const pixels = await decode(bytes, demand);
    if (!pixels.ok) return pixels;
    const decodeMs = performance.now() - startedAt;
    const row = await batcher
      .submit({ pixels: pixels.value, decoding, demand })
      .finally(() => onPixelsRead?.(pixels.value));
    if (!row.ok) return row;
    const { tokenIds, logProbabilities, pictureScore, queueMs, inferenceMs } = row.value;
    // Weights are finite, but results computed with them may not be, especially in float16; the words would mean nothing.
    if (![...logProbabilities, pictureScore ?? 0].every(Number.isFinite)) {
      return failure("internal", "The model could not compute a caption for this picture.", {
        reason: "the graph returned NaN or infinite values; an fp32 bundle has a larger range",
      });
    }
    return success({
      caption: tokenizer.decode([...decoding.promptIds, ...tokenIds]).trim(),
      score: geometricMean(logProbabilities),
      ...(pictureScore !== undefined && { picture_score: pictureScore }),
      timings: { startedAtMs: startedAt, decodeMs, queueMs, inferenceMs },
    });
  }

  return {
    model: describe(engine),
    async caption(bytes, options = {}, { signal = NEVER, owner, isBackground = false, onBytesInUse } = {}) {
      if (bytes.length > MAX_IMAGE_BYTES) return imageTooLarge();
      const decoding = resolveOptions(options, engine, tokenizer);
      if (!decoding.ok) return decoding;
      // Hashed synchronously: for a photograph, Web Crypto's way to another thread and back takes ten times as long.
      const key = JSON.stringify([owner, hash("sha256", bytes), decoding.value]);
      const remembered = recent?.get(key);
      if (remembered !== undefined) return success({ ...remembered, source: "recent" });

      const { joined, result, ended } = inFlight.run(key, { signal, isBackground }, (demand) =>
        generate(bytes, decoding.value, demand),
      );
      if (ended !== undefined) onBytesInUse?.(ended);
      const generated = await result;
      if (generated === LEFT) return failure("deadline-exceeded", "The caption was not ready in time.");
      if (!generated.ok) return generated;
      const { timings, ...words } = generated.value;
      recent?.set(key, words);
      return success(joined ? { ...words, source: "joined" } : { ...words, source: "generated", timings });
    },
    async warmUp() {
      const picture = blankPicture(engine.bundle.manifest.image.size);
      const warming = { signal: NEVER, isBackground: false };
      const decodings = Array.from({ length: decodeLanes }, () => decode(picture, warming));
      for (const decoded of await Promise.all(decodings)) {
        if (!decoded.ok) throw new FailureError(decoded.failure);
      }
      await warmUp(engine, new Set(engine.buckets ?? [1, maxBatchSize]));
    },
    async unreadiness() {
      if (!decoders.isReady()) return NO_DECODER;
      return (await engine.isReachable?.()) === false ? NO_SERVER : undefined;
    },
    get queueDepth() {
      return batcher.queueDepth;
    },
    get backlogSeconds() {
      return batcher.backlogSeconds;
    },
    close: () => decoders.close(),
  };
}

function describe({ bundle: { manifest } }: Engine): BackendModel {
  return {
    id: manifest.id,
    revision: manifest.revision,
    image_size: manifest.image.size,
    dtype: manifest.dtype,
    limits: {
      max_image_bytes: MAX_IMAGE_BYTES,
      max_image_pixels: MAX_IMAGE_PIXELS,
      max_new_tokens: MAX_NEW_TOKENS,
      max_num_beams: MAX_NUM_BEAMS,
    },
    defaults: manifest.generation,
    review: manifest.review,
  };
}

/** The caller's options, completed by the model's defaults and limited to the positions that the model has. */
function resolveOptions(
  { prompt, max_new_tokens, num_beams }: GenerationOptions,
  { bundle: { manifest } }: Engine,
  tokenizer: Tokenizer,
): Result<DecodingOptions> {
  const numBeams = num_beams ?? manifest.generation.num_beams;
  const encoded = prompt === undefined ? { ids: [], unknown: [] } : tokenizer.encodePrompt(prompt);
  const [unknown] = encoded.unknown;
  if (unknown !== undefined) {
    return failure("bad-options", `prompt: the model does not know the word ${JSON.stringify(unknown)}.`);
  }
  if (prompt !== undefined && encoded.ids.length === 0) {
    return failure("bad-options", "prompt: the model knows none of its words.");
  }
  const promptIds = encoded.ids;
  const room = manifest.tokens.max_positions - 1 - promptIds.length;
  if (room < 1) {
    return failure("bad-options", `prompt: ${promptIds.length} tokens leave no room for a caption.`);
  }
  const maxNewTokens = Math.min(max_new_tokens ?? manifest.generation.max_new_tokens, room);
  return success({ maxNewTokens, numBeams, promptIds });
}

function geometricMean(logProbabilities: readonly number[]): number {
  const sum = logProbabilities.reduce((total, value) => total + value, 0);
  return logProbabilities.length === 0 ? 0 : Math.min(1, Math.exp(sum / logProbabilities.length));
}
