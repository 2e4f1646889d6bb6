/**
 * Walks a PNG's chunks (PNG, third edition, section 5) and keeps those that change its pixels, without later frames
 * of an APNG. Text never reaches the decoder, because libpng inflates each piece of it, and fourteen pieces of 40
 * MB fit into half a megabyte.
 */

import { crc32, inflateSync } from "node:zlib";
import { failure, type Result, success } from "../../../shared/result.ts";
import { pngChunk } from "../blank-picture.ts";
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

const SIGNATURE_BYTES = 8;
/** Length, type and checksum. */
const CHUNK_OVERHEAD_BYTES = 12;
const HEADER_BYTES = 13;

/** Kept in addition to the critical chunks, which stay as they are. */
const KEPT_ONCE: ReadonlySet<string> = new Set([
  "tRNS",
  "gAMA",
  "cHRM",
  "sRGB",
  "sBIT",
  "cICP",
  "iCCP",
  "eXIf",
]);
const MAX_SMALL_CHUNK_BYTES = 1024;
const MAX_CHUNK_BYTES: Readonly<Record<string, number>> = {
  eXIf: MAX_EXIF_BYTES,
  iCCP: MAX_PROFILE_BYTES,
};

/** For one row at a time; an interlaced picture is held whole. */
const BYTES_A_PIXEL = 2.7;
const PALETTE = 3;
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 };

/** Deflate with a window of 32 KiB, RFC 1950 section 2.2, and the check of both header bytes. */
const WHOLE_WINDOW = 0x78;
const ZLIB_HEADER = Uint8Array.of(WHOLE_WINDOW, 0x01);

/** Fails with `unreadable-image` or `unsupported-image`. */
export function scanPng(bytes: Uint8Array<ArrayBuffer>): Result<ScannedPicture> {
  const view = viewOf(bytes);
  if (fourCharacters(bytes, SIGNATURE_BYTES + 4) === "CgBI") {
    const what = "PNG as Xcode packs it into apps for iOS (CgBI)";
    return failure("unsupported-image", `${what} is not supported. Convert it to an ordinary PNG.`);
  }
  const isHeader =
    bytes.length >= SIGNATURE_BYTES + CHUNK_OVERHEAD_BYTES + HEADER_BYTES &&
    view.getUint32(SIGNATURE_BYTES) === HEADER_BYTES &&
    fourCharacters(bytes, SIGNATURE_BYTES + 4) === "IHDR";
  if (!isHeader) return unreadable("PNG");
  const header = SIGNATURE_BYTES + 8;
  const width = view.getUint32(header);
  const height = view.getUint32(header + 4);
  const [depth = 0, colourType = -1, , , interlace = 0] = bytes.subarray(header + 8, header + HEADER_BYTES);
  const channels = CHANNELS[colourType];
  if (width === 0 || height === 0 || channels === undefined) return unreadable("PNG");

  const kept = new KeptPieces(bytes);
  kept.keep(0, SIGNATURE_BYTES);
  const seen = new Set<string>();
  let isInData = false;
  /** Number of colours in the palette, if the pixels use one. */
  let colours = 0;
  for (let at = SIGNATURE_BYTES; at < bytes.length; ) {
    const type = fourCharacters(bytes, at + 4);
    const length = at + 4 > bytes.length ? 0 : view.getUint32(at);
    const end = at + CHUNK_OVERHEAD_BYTES + length;
    if (end > bytes.length) {
      if (!isInData && type !== "IDAT") return breaksOff();
      // The file ends early; the decoder finds out whether pixels are missing.
      if (type === "IDAT") kept.keep(at, bytes.length);
      break;
    }
    let mended: Uint8Array | undefined;
    if (type === "IDAT" && !isInData) {
      isInData = true;
      mended = withWholeWindow(bytes.subarray(at, end));
      // A streaming decoder has already asked for the orientation before it meets an `eXIf` chunk behind the pixels.
      const exif = seen.has("eXIf") ? undefined : chunkBehind(bytes, end, "eXIf");
      if (exif !== undefined) {
        seen.add("eXIf");
        kept.insert(exif);
      }
    } else if (type === "PLTE" && colourType === PALETTE) {
      colours = length / 3;
    } else if (type === "tRNS" && !isInData && !seen.has(type)) {
      mended = withoutSurplus(bytes.subarray(at, end), colours);
    }
    if (mended !== undefined) {
      seen.add(type);
      kept.insert(mended);
    } else if (isCritical(bytes, at)) {
      kept.keep(at, end);
    } else if (!isInData && KEPT_ONCE.has(type) && !seen.has(type)) {
      // The first one counts, whatever it holds: of thousands of profiles, each would be inflated.
      seen.add(type);
      if (isWanted(bytes.subarray(at + 8, end - 4), type)) kept.keep(at, end);
    }
    if (type === "IEND") break;
    at = end;
  }
  const wholeBytes = width * height * (channels + 1) * (depth === 16 ? 2 : 1);
  const decodeBytes = width * height * BYTES_A_PIXEL + (interlace === 0 ? 0 : wholeBytes);
  return success({ bytes: kept.join(), width, height, decodeBytes });
}

/**
 * Rewrites the first chunk of pixels so that libpng reads it. Some writers name a smaller window than their
 * compression looks back into, which browsers and Pillow ignore. Undefined for a chunk that names the whole window
 * or is damaged.
 */
function withWholeWindow(chunk: Uint8Array): Uint8Array | undefined {
  const data = dataOf(chunk);
  const [method = 0, check = 0] = data;
  const isDeflate = (method & 0x0f) === 8 && ((method << 8) | check) % 31 === 0;
  return isDeflate && method < WHOLE_WINDOW && isIntact(chunk)
    ? pngChunk("IDAT", Buffer.concat([ZLIB_HEADER, data.subarray(2)]))
    : undefined;
}

/**
 * The `tRNS` chunk without surplus entries: libpng ignores all of it if it has more than there are colours.
 * Undefined if it has no surplus.
 */
function withoutSurplus(chunk: Uint8Array, colours: number): Uint8Array | undefined {
  const data = dataOf(chunk);
  return colours > 0 && data.length > colours && isIntact(chunk)
    ? pngChunk("tRNS", Buffer.from(data.subarray(0, colours)))
    : undefined;
}

function dataOf(chunk: Uint8Array): Uint8Array {
  return chunk.subarray(8, -4);
}

function isIntact(chunk: Uint8Array): boolean {
  return crc32(chunk.subarray(4, -4)) === viewOf(chunk).getUint32(chunk.length - 4);
}

/** The case of the type's first letter says so. */
function isCritical(bytes: Uint8Array, chunk: number): boolean {
  return ((bytes[chunk + 4] as number) & 0x20) === 0;
}

function isWanted(data: Uint8Array, type: string): boolean {
  if (data.length > (MAX_CHUNK_BYTES[type] ?? MAX_SMALL_CHUNK_BYTES)) return false;
  return type !== "iCCP" || isProfileSmall(data);
}

/** A zlib stream follows a name of up to 79 characters, a zero and a method. */
function isProfileSmall(data: Uint8Array): boolean {
  const nameEnd = data.indexOf(0);
  try {
    return inflateSync(data.subarray(nameEnd + 2), { maxOutputLength: MAX_PROFILE_BYTES }).length > 0;
  } catch {
    return false;
  }
}

/** The first chunk of a type at or after `at`, if it may be kept. */
function chunkBehind(bytes: Uint8Array, at: number, wanted: string): Uint8Array | undefined {
  const view = viewOf(bytes);
  while (at + CHUNK_OVERHEAD_BYTES <= bytes.length) {
    const end = at + CHUNK_OVERHEAD_BYTES + view.getUint32(at);
    if (end > bytes.length) return undefined;
    const type = fourCharacters(bytes, at + 4);
    if (type === wanted) {
      return isWanted(bytes.subarray(at + 8, end - 4), type) ? bytes.subarray(at, end) : undefined;
    }
    at = end;
  }
  return undefined;
}
