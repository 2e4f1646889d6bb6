/** The files of a graph: itself, and one beside it that weights lie in which are too large for it (onnx-writer.ts). */

import { stat } from "node:fs/promises";

/** Where the weights lie, if there are such. */
export const weightsPath = (graphPath: string): string => `${graphPath}.data`;

/** Bytes of both. */
export async function graphBytes(graphPath: string): Promise<number> {
  const sizes = [graphPath, weightsPath(graphPath)].map((path) =>
    stat(path).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
