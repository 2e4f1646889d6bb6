/** A picture that tells whether a captioner works: one that it has not seen, so that it cannot answer from memory. */

import type { Picture } from "../picture.ts";

/** Red, green and blue of the only colour, in a GIF of one pixel: GIF89a, section 19. */
const COLOUR = { at: 13, bytes: 3 };
const ONE_PIXEL = Uint8Array.fromBase64("R0lGODlhAQABAIAAAAAAAAAAACwAAAAAAQABAAACAkQBADs=");

/** One pixel of a random colour. */
export function newProbePicture(): Picture {
  const bytes = ONE_PIXEL.slice();
  crypto.getRandomValues(bytes.subarray(COLOUR.at, COLOUR.at + COLOUR.bytes));
  return { bytes, type: "image/gif" };
}
