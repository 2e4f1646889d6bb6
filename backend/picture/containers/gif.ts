/** Walks a GIF's blocks (GIF89a) and keeps the first frame without comments, application blocks and later frames. */

import { type Result, success } from "../../../shared/result.ts";
import { concatenate, KeptPieces, type ScannedPicture, unreadable, viewOf } from "./scanned-picture.ts";

const SCREEN_BYTES = 13;
const FRAME_HEADER_BYTES = 10;
const EXTENSION = 0x21;
const GRAPHIC_CONTROL = 0xf9;
const FRAME = 0x2c;
const TRAILER = 0x3b;
/** What may follow a frame. A file that was allocated at its full length but broke off has zeros there. */
const FOLLOWERS: readonly (number | undefined)[] = [EXTENSION, FRAME, TRAILER];
/** A block of data that means nothing: its length, then as many bytes. */
const MEANINGLESS_BLOCK = new Uint8Array(256).fill(0x5a).fill(255, 0, 1);
const BYTES_A_PIXEL = 5.5;
/** A later frame of one pixel that names a transparent colour. */
const TRANSPARENT_FRAME = Uint8Array.of(
  ...[EXTENSION, GRAPHIC_CONTROL, 4, 1, 0, 0, 0, 0],
  ...[FRAME, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0],
);

/** Fails with `unreadable-image`. */
export function scanGif(bytes: Uint8Array<ArrayBuffer>): Result<ScannedPicture> {
  if (bytes.length < SCREEN_BYTES) return unreadable("GIF");
  const view = viewOf(bytes);
  const kept = new KeptPieces(bytes);
  let at = SCREEN_BYTES + paletteBytes(bytes[10] as number);
  kept.keep(0, at);
  while (at < bytes.length) {
    if (bytes[at] === EXTENSION) {
      const end = endOfBlocks(bytes, at + 2);
      if (end === undefined) return unreadable("GIF");
      if (bytes[at + 1] === GRAPHIC_CONTROL) kept.keep(at, end);
      at = end;
    } else if (bytes[at] === FRAME) {
      if (at + FRAME_HEADER_BYTES > bytes.length) return unreadable("GIF");
      const data = at + FRAME_HEADER_BYTES + paletteBytes(bytes[at + 9] as number);
      // One byte, the code size, comes before the blocks.
      const end = endOfBlocks(bytes, data + 1);
      // If a frame ends early, the decoder leaves its remaining pixels as they were, so the pixels tell whether any
      // are missing.
      const isFollowed = end !== undefined && FOLLOWERS.includes(bytes[end]);
      kept.keep(at, end === undefined ? bytes.length : end - 1);
      const [left, top] = [view.getUint16(at + 1, true), view.getUint16(at + 3, true)];
      const [frameWidth, frameHeight] = [view.getUint16(at + 5, true), view.getUint16(at + 7, true)];
      // A frame may reach past the screen, and is drawn whole.
      const width = Math.max(view.getUint16(6, true), left + frameWidth);
      const height = Math.max(view.getUint16(8, true), top + frameHeight);
      const begin = kept.join();
      // If the frame leaves part of the screen bare, the decoder makes that part transparent only in a file with
      // transparency, and black in any other.
      const isBare = frameWidth < width || frameHeight < height;
      const rest = Uint8Array.of(0, ...(isBare ? TRANSPARENT_FRAME : []), TRAILER);
      return success({
        bytes: concatenate(begin, rest),
        width,
        height,
        decodeBytes: width * height * BYTES_A_PIXEL,
        ...(isFollowed ? {} : { withOtherEnd: concatenate(begin, MEANINGLESS_BLOCK, rest) }),
      });
    } else {
      return unreadable("GIF");
    }
  }
  return unreadable("GIF");
}

/** Bytes of a screen's or frame's palette, by the flags that announce it. */
function paletteBytes(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 << ((flags & 0x07) + 1);
}

/** The offset after the empty block that ends the blocks at `at`; undefined if the file ends first. */
function endOfBlocks(bytes: Uint8Array, at: number): number | undefined {
  for (let length = bytes[at]; length !== undefined; length = bytes[at]) {
    at += 1 + length;
    if (length === 0) return at;
  }
  return undefined;
}
