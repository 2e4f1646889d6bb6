/**
 * The files of a graph: the graph itself and, if its weights are too large for it, a second file for them
 * (onnx-writer.ts).
 */

import { stat } from "node:fs/promises";

/** Where the weights lie if they have a file of their own. */
export const weightsPath = (graphPath: string): string => `${graphPath}.data`;

/** Size of both files together. */
export async function graphBytes(graphPath: string): Promise<number> {
  const sizes = [graphPath, weightsPath(graphPath)].map((path) =>
    stat(path).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
