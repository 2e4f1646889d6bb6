/** What a picture may cost; both inspecting and decoding respect it. */

import { MAX_IMAGE_PIXELS } from "../../shared/limits.ts";

export interface PictureLimits {
  /** Most width x height of a file. */
  readonly maxPixels: number;
  /** Most memory that decoding may take, in addition to the file. */
  readonly maxDecodeBytes: number;
  /** Most processor time that decoding may take, in whole seconds. */
  readonly decodeTimeoutSeconds: number;
}

const MIB = 1024 * 1024;
/** The limits of every captioner, wherever its pictures come from. */
export const PICTURE_LIMITS: PictureLimits = {
  maxPixels: MAX_IMAGE_PIXELS,
  // Enough for the costliest kind, an AVIF, of 17 million pixels; with more, three large pictures would exceed a
  // gigabyte.
  maxDecodeBytes: 320 * MIB,
  decodeTimeoutSeconds: 4,
};
