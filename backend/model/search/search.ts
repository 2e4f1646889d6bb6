/** The result of a search for captions, whatever its strategy. Types only. */

import type { Value } from "../onnx/graph-builder.ts";

/** Generated tokens without the prompt, padded after the end token. */
export interface SearchResult {
  /** int64 [batch, steps] */
  readonly tokenIds: Value;
  /** float32 [batch, steps], natural logarithm */
  readonly logProbabilities: Value;
}
