/**
 * Names of the graph's inputs and outputs, shared by the exporter, which writes them, and the engines, which call
 * them.
 */

/** Names of the graph's inputs and outputs. */
export const PORTS = {
  /** uint8 [batch, 3, size, size], RGB */
  pixels: "pixels",
  /** int64 [1] */
  maxNewTokens: "max_new_tokens",
  /** int64 [1], 1 for greedy decoding */
  numBeams: "num_beams",
  /** int64 [prompt], without the begin token; may be empty */
  promptIds: "prompt_ids",
  /** int64 [batch, steps], the end token included, padded after it */
  tokenIds: "token_ids",
  /** float32 [batch, steps], natural logarithm */
  logProbabilities: "log_probabilities",
  /** float32 [batch, 1]; only where the bundle has a picture head */
  pictureScores: "picture_scores",
} as const;
