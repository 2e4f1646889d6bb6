/** What a search over captions is given and gives, whatever its strategy. Types only. */

import type { KeyValue } from "../blip/text-graph.ts";
import type { Value } from "../onnx/graph-builder.ts";

/** What both searches start from. */
export interface SearchStart {
  /** Pictures, int64 [1]. */
  readonly batch: Value;
  /** The most steps, int64 scalar. */
  readonly steps: Value;
  /** The token before the first generated one, int64 scalar. */
  readonly firstToken: Value;
  /** Its position, int64 scalar. */
  readonly firstPosition: Value;
  /** Self-attention keys and values of what comes before it, a row a picture. */
  readonly cache: readonly KeyValue[];
  readonly cross: readonly KeyValue[];
}

/** Generated tokens, the prompt excluded, padded after the end token. */
export interface SearchResult {
  /** int64 [batch, steps] */
  readonly tokenIds: Value;
  /** float32 [batch, steps], natural logarithm */
  readonly logProbabilities: Value;
}
