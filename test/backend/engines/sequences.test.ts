import { expect, test } from "vitest";
import { toSequences } from "../../../backend/engines/sequences.ts";

const EOS = 9;

test("each row ends with its end token, which has its probability, and has its own picture score", () => {
  const rows = toSequences(
    {
      tokenIds: BigInt64Array.of(5n, 9n, 0n, 5n, 6n, 7n),
      logProbabilities: Float32Array.of(-1, -2, -3, -4, -5, -6),
      pictureScores: Float32Array.of(0.25, 0.5),
    },
    2,
    EOS,
  );
  expect(rows).toEqual([
    { tokenIds: [5, 9], logProbabilities: [-1, -2], pictureScore: 0.25 },
    { tokenIds: [5, 6, 7], logProbabilities: [-4, -5, -6], pictureScore: 0.5 },
  ]);
});
