/** The interface between the server and whatever runs the model. No ONNX, no HTTP. */

import type { Failure } from "../../shared/problem.ts";
import type { Bundle } from "../bundle/bundle.ts";

/** Failure when none of the servers that an engine depends on answers. */
export const NO_SERVER: Failure = {
  code: "unavailable",
  detail: "No inference server is available.",
  retryAfterSeconds: 5,
};

/** Options that all pictures of one forward pass share. */
export interface DecodingOptions {
  /** Most tokens to generate for any row, the end token included. */
  readonly maxNewTokens: number;
  /** 1 is greedy. */
  readonly numBeams: number;
  /** Token ids the text is forced to begin with, without the begin token; empty for no prompt. */
  readonly promptIds: readonly number[];
}

/** One row of an answer. Both arrays end with the end token, if it was reached. */
export interface TokenSequence {
  readonly tokenIds: readonly number[];
  /** Natural logarithm of each token's probability; as long as `tokenIds`. */
  readonly logProbabilities: readonly number[];
  /**
   * The picture head's estimate of how well such a picture can be described; absent if the bundle has no picture
   * head.
   */
  readonly pictureScore?: number;
}

/** Runs the model on batches of pictures; the caller batches. */
export interface Engine {
  readonly bundle: Bundle;
  /** Most calls of `generate` that may run at once. */
  readonly concurrency: number;
  /**
   * The batch sizes that it computes; a batch in between costs as much as the next larger size. Absent if it
   * computes any size.
   */
  readonly buckets?: readonly number[];
  /**
   * @param pixels uint8 [batch, 3, imageSize, imageSize], RGB, 0..255; normalization is part of the graph. The
   * caller may reuse them once the promise has settled.
   * @param signal aborts when nobody waits for any row any more; an engine that can stop then rejects
   * @returns one sequence per row, in order
   */
  generate(
    pixels: Uint8Array,
    batch: number,
    options: DecodingOptions,
    signal?: AbortSignal,
  ): Promise<TokenSequence[]>;
  /** Whether any of its servers answers just now; absent if it computes in this process. Never rejects. */
  isReachable?(): Promise<boolean>;
  close(): Promise<void>;
}
