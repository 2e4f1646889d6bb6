/** Bytes that the edge takes for a picture. It does not decode them, so a signature and something unique is enough. */

import { contentHash } from "../../../shared/content-hash.ts";

/** New pictures of which each of two captioners gets some: one of them gets fewer than three once in 10^14 times. */
export const MANY = 60;

let made = 0;

/** A picture that no other test has sent. */
export function newPicture(size = 64): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  crypto.getRandomValues(bytes.subarray(8, Math.min(size, 1024)));
  bytes[9] = made++ % 256;
  return bytes;
}

export const hashOf = contentHash;

export const base64Of = (bytes: Uint8Array): string => bytes.toBase64();
