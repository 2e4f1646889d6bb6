/** Turns the graph's outputs into one sequence per picture. No ONNX Runtime, no gRPC. */

import type { TokenSequence } from "./engine.ts";

/** The result of one forward pass, row after row. */
export interface DecodedBatch {
  /** [batch, steps] */
  readonly tokenIds: BigInt64Array;
  /** [batch, steps], natural logarithm */
  readonly logProbabilities: Float32Array;
  /** [batch, 1], from the picture head; absent if the bundle has none */
  readonly pictureScores?: Float32Array;
}

/** Cuts each row off after its end token, which is kept. */
export function toSequences(
  { tokenIds, logProbabilities, pictureScores }: DecodedBatch,
  batch: number,
  eos: number,
): TokenSequence[] {
  const steps = tokenIds.length / batch;
  return Array.from({ length: batch }, (_, row) => {
    const ids = Array.from(tokenIds.subarray(row * steps, (row + 1) * steps), Number);
    const end = ids.indexOf(eos);
    const length = end === -1 ? steps : end + 1;
    return {
      tokenIds: ids.slice(0, length),
      logProbabilities: Array.from(logProbabilities.subarray(row * steps, row * steps + length)),
      ...(pictureScores && { pictureScore: pictureScores[row] as number }),
    };
  });
}
