/**
 * A picture's bytes in, its caption out: recent captions, joining of identical pictures, decoding, batching, text.
 * No HTTP and no environment: the server and the command line share it.
 */

import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { imageTooLarge } from "../../shared/intake/base64.ts";
import { MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, MAX_NEW_TOKENS, MAX_NUM_BEAMS } from "../../shared/limits.ts";
import { FailureError } from "../../shared/problem.ts";
import { failure, type Result, success } from "../../shared/result.ts";
import type { BackendModel, GenerationOptions } from "../../shared/schema.ts";
import type { Bundle } from "../bundle/bundle.ts";
import type { Tokenizer } from "../bundle/tokenizer.ts";
import type { DecodingOptions, Engine } from "../engines/engine.ts";
import { warmUp } from "../engines/warm-up.ts";
import { blankPicture } from "../picture/blank-picture.ts";
import type { PixelFormat } from "../picture/decode.ts";
import { createDecodeQueue, type DecodeQueue } from "../picture/decode-queue.ts";
import type { Decoder } from "../picture/decoder.ts";
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
  /** Pictures decoded at once. */
  readonly decodeLanes?: number;
  /** Starts what decodes a lane's pictures: in this process where absent. A server brings processes that can be ended. */
  readonly startDecoder?: () => Decoder;
  /** Given pixels that are read no more: a decoder may write the next picture's there. */
  readonly onPixelsRead?: (pixels: Uint8Array) => void;
  /** Captions remembered; 0 for none. */
  readonly recentCaptions?: number;
  /** Told after every forward pass. */
  readonly onForwardPass?: (pass: ForwardPass) => void;
}

/** Where a caption came from: a forward pass, somebody else's forward pass in flight, or memory. */
export type CaptionSource = "generated" | "joined" | "recent";

export interface CaptionerAnswer {
  readonly caption: string;
  /** Geometric mean of the token probabilities, end token included, 0..1. */
  readonly score: number;
  /** How well such a picture can be described, by the bundle's picture head; absent where it has none. */
  readonly picture_score?: number;
  readonly source: CaptionSource;
  /** What each stage took; absent where nothing was spent for this caller. */
  readonly timings?: StageTimings;
}

export interface StageTimings {
  /** When decoding began, on the clock of `performance.now()`; the stages follow each other without a gap. */
  readonly startedAtMs: number;
  readonly decodeMs: number;
  readonly queueMs: number;
  readonly inferenceMs: number;
}

export interface Captioner {
  readonly model: BackendModel;
  /**
   * Captions one picture.
   * Fails with the codes of inspect.ts and decode.ts, `image-too-large`, `bad-options`, or `deadline-exceeded` when `signal` aborts.
   */
  caption(
    bytes: Uint8Array<ArrayBuffer>,
    options?: GenerationOptions,
    call?: CaptionCall,
  ): Promise<Result<CaptionerAnswer>>;
  /** Decodes in every lane and runs the model at every batch size that costs a first time: no caller pays for it. */
  warmUp(): Promise<void>;
  /** Whether a picture could be captioned now: its engine may be on other machines. */
  isReady(): Promise<boolean>;
  /** Pictures that wait for a forward pass. */
  readonly queueDepth: number;
  /** How long they will keep the engine busy, seconds. */
  readonly backlogSeconds: number;
  /** Ends the decoders. */
  close(): void;
}

/** Who asks, and how long they wait. */
export interface CaptionCall extends Partial<Demand> {
  /** Whom the caption is for; different owners neither join nor share what is remembered. */
  readonly owner?: string | undefined;
  /** Told until when the picture's bytes stay in use, which may be after the answer: a decoder may still read them. */
  readonly onBytesInUse?: (until: Promise<unknown>) => void;
}

type Words = Pick<CaptionerAnswer, "caption" | "score" | "picture_score">;
type Generated = Result<Words & { readonly timings: StageTimings }>;

/** A hundred times what a photograph takes. */
const DECODE_TURN_MS = 1_000;

/** The pixels that a bundle's model takes. */
export function pixelFormat({ manifest }: Bundle): PixelFormat {
  return { size: manifest.image.size, filter: manifest.image.resampling };
}

const NEVER = new AbortController().signal;

/** A captioner over `engine`, which stays its caller's to close. The model is cold until `warmUp`. */
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
    // Weights are finite, but what is computed with them may not be, in float16 above all: its words would say nothing.
    if (![...logProbabilities, pictureScore ?? 0].every(Number.isFinite)) {
      return failure("internal", "The model could not compute a caption of this picture.", {
        reason: "the graph returned NaN or infinite values; a bundle of fp32 has more room",
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
      // Here and now: for a photograph, Web Crypto's way to another thread and back takes ten times as long.
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
    isReady: async () => (await engine.isReachable?.()) ?? true,
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

/** The caller's options with the model's defaults, as far as its positions reach. */
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
    return failure("bad-options", "prompt: it has no word that the model knows.");
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
