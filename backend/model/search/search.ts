/** What a search over captions gives, whatever its strategy. Types only. */

import type { Value } from "../onnx/graph-builder.ts";

/** Generated tokens, the prompt excluded, padded after the end token. */
export interface SearchResult {
  /** int64 [batch, steps] */
  readonly tokenIds: Value;
  /** float32 [batch, steps], natural logarithm */
  readonly logProbabilities: Value;
}
