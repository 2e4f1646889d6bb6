/**
 * Memory of decoded pictures, used for one after the other. As garbage, half a megabyte a picture, it kept the collector busy for a
 * third of what the server spends on a caption (docs/measurements/backend.md).
 */

import type { PixelFormat } from "./decode.ts";

export interface PixelMemory {
  /** @returns uint8 [3, size, size], of whatever it was */
  take(): Uint8Array;
  /** For pixels that nobody reads any more, wherever they come from. */
  giveBack(pixels: Uint8Array): void;
}

/** @param options.most that are kept while they are not used */
export function createPixelMemory(
  { size }: Pick<PixelFormat, "size">,
  { most }: { most: number },
): PixelMemory {
  const spare: Uint8Array[] = [];
  return {
    take: () => spare.pop() ?? new Uint8Array(3 * size * size),
    giveBack(pixels) {
      if (spare.length < most) spare.push(pixels);
    },
  };
}
