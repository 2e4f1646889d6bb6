/** What a picture may cost, which inspecting and decoding both keep to. Numbers alone. */

import { MAX_IMAGE_PIXELS } from "../../shared/limits.ts";

export interface PictureLimits {
  /** Most width x height of a file. */
  readonly maxPixels: number;
  /** Most memory that decoding may take, beside the file. */
  readonly maxDecodeBytes: number;
  /** Whole seconds of one processor that decoding may take. */
  readonly decodeTimeoutSeconds: number;
}

const MIB = 1024 * 1024;
/** Of every captioner, whoever its pictures are from. */
export const PICTURE_LIMITS: PictureLimits = {
  maxPixels: MAX_IMAGE_PIXELS,
  // The costliest kind, an AVIF, of 17 million pixels; more, and three large pictures would pass a gigabyte.
  maxDecodeBytes: 320 * MIB,
  decodeTimeoutSeconds: 4,
};
