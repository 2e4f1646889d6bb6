/**
 * Memory of decoded pictures, reused from one to the next. As garbage, at half a megabyte per picture, it kept the
 * collector busy for a third of what the server spends on a caption (docs/measurements/backend.md).
 */

import type { PixelFormat } from "./decode.ts";

export interface PixelMemory {
  /** @returns uint8 [3, size, size] with arbitrary contents */
  take(): Uint8Array;
  /** Takes back pixels that nobody reads any more, wherever they come from. */
  giveBack(pixels: Uint8Array): void;
}

/** @param options.most how many unused ones are kept */
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
