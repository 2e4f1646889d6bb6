/**
 * Walks a WebP's chunks (RFC 9649) and keeps the first frame, its profile and its EXIF data. Later frames never
 * reach the decoder, because reading the headers of 90,000 of them took half a minute and gigabytes.
 */

import { type Result, success } from "../../../shared/result.ts";
import {
  breaksOff,
  fourCharacters,
  KeptPieces,
  MAX_EXIF_BYTES,
  MAX_PROFILE_BYTES,
  type ScannedPicture,
  unreadable,
  viewOf,
} from "./scanned-picture.ts";

const RIFF_HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 8;
const XMP_FLAG = 0x04;
const BYTES_A_PIXEL = 9.6;

/** Most bytes of each type of chunk that is kept. Only the first chunk of a type counts. */
const KEPT_ONCE: Readonly<Record<string, number>> = {
  VP8X: 10,
  ICCP: MAX_PROFILE_BYTES,
  ANIM: 6,
  ANMF: Number.POSITIVE_INFINITY,
  ALPH: Number.POSITIVE_INFINITY,
  "VP8 ": Number.POSITIVE_INFINITY,
  VP8L: Number.POSITIVE_INFINITY,
  EXIF: MAX_EXIF_BYTES,
};

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Fails with `unreadable-image`. */
export function scanWebp(bytes: Uint8Array<ArrayBuffer>): Result<ScannedPicture> {
  const view = viewOf(bytes);
  const kept = new KeptPieces(bytes);
  kept.keep(0, RIFF_HEADER_BYTES);
  const seen = new Set<string>();
  let size: Size | undefined;
  // Anything after the outer chunk does not belong to the picture.
  const fileEnd = bytes.length < RIFF_HEADER_BYTES ? 0 : Math.min(bytes.length, 8 + view.getUint32(4, true));
  for (let at = RIFF_HEADER_BYTES; at + CHUNK_HEADER_BYTES <= fileEnd; ) {
    const type = fourCharacters(bytes, at);
    const start = at + CHUNK_HEADER_BYTES;
    const length = view.getUint32(at + 4, true);
    if (start + length > fileEnd) return fileEnd < bytes.length ? unreadable("WebP") : breaksOff();
    // Chunks begin at even offsets; the last one's padding may be missing.
    const end = Math.min(fileEnd, start + length + (length % 2));
    size ??= readSize(bytes.subarray(start, start + length), type);
    if (!seen.has(type) && length <= (KEPT_ONCE[type] ?? -1)) {
      seen.add(type);
      kept.keep(at, end);
    }
    at = end;
    // Without the extended header, the picture's data is the only chunk.
    if (size !== undefined && !seen.has("VP8X")) break;
  }
  if (size === undefined || size.width === 0 || size.height === 0) return unreadable("WebP");
  const { width, height } = size;
  return success({
    bytes: withTrueHeader(kept.join(), bytes),
    width,
    height,
    decodeBytes: width * height * BYTES_A_PIXEL,
  });
}

/** The canvas size of an extended file, or the size at the start of the picture's data. */
function readSize(data: Uint8Array, type: string): Size | undefined {
  const view = viewOf(data);
  if (type === "VP8X" && data.length >= 10) {
    return {
      width: 1 + view.getUint16(4, true) + ((data[6] as number) << 16),
      height: 1 + view.getUint16(7, true) + ((data[9] as number) << 16),
    };
  }
  if (type === "VP8 " && data.length >= 10) {
    return { width: view.getUint16(6, true) & 0x3fff, height: view.getUint16(8, true) & 0x3fff };
  }
  if (type === "VP8L" && data.length >= 5) {
    const bits = view.getUint32(1, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  return undefined;
}

/** Corrects the outer length and the flags after something was left out of `whole`. */
function withTrueHeader(kept: Uint8Array<ArrayBuffer>, whole: Uint8Array): Uint8Array<ArrayBuffer> {
  if (kept === whole) return kept;
  const view = viewOf(kept);
  view.setUint32(4, kept.length - 8, true);
  if (fourCharacters(kept, RIFF_HEADER_BYTES) === "VP8X") {
    const flags = RIFF_HEADER_BYTES + CHUNK_HEADER_BYTES;
    kept[flags] = (kept[flags] as number) & ~XMP_FLAG;
  }
  return kept;
}
