/**
 * Walks the first directory of a TIFF (TIFF 6.0, or BigTIFF with 64-bit offsets), cuts it off from the others, and
 * keeps only tags that change the pixels. libtiff would read the whole chain of directories and the data of every
 * tag, although many may refer to the same megabytes.
 */

import { type Result, success } from "../../../shared/result.ts";
import {
  MAX_PROFILE_BYTES,
  type ScannedPicture,
  tooCostly,
  unreadable,
  viewOf,
  WHOLE_PIXEL_BYTES,
} from "./scanned-picture.ts";
import { readNumber, tiffLayout } from "./tiff-layout.ts";
import { judgeTiffPixels } from "./tiff-pixels.ts";

const TAG = {
  width: 256,
  height: 257,
  bitsPerSample: 258,
  stripOffsets: 273,
  samplesPerPixel: 277,
  rowsPerStrip: 278,
  stripByteCounts: 279,
  tileWidth: 322,
  tileLength: 323,
  tileOffsets: 324,
  tileByteCounts: 325,
} as const;

/** Compression, colour and their tables, orientation, layout, JPEG tables, profile, LERC. */
const KEPT: ReadonlySet<number> = new Set([
  ...Object.values(TAG),
  ...[259, 262, 266, 274, 280, 281, 284, 292, 293, 301, 317, 320, 332, 333, 336, 338, 339, 340, 341],
  ...[347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532, 34675, 50674],
]);
/** As many values as the picture has strips or tiles. */
const LONG: ReadonlySet<number> = new Set([
  TAG.stripOffsets,
  TAG.stripByteCounts,
  TAG.tileOffsets,
  TAG.tileByteCounts,
]);

/** Bytes of a value by its type, TIFF 6.0 section 2 and BigTIFF; a type that is missing here does not exist. */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8];
const SHORT = 3;
const LONG8 = 16;

/**
 * Largest valid values of the orientation and of the planar configuration. Both start at 1, which is the default
 * without the tag. Some writers store a 0, which libtiff calls an error and other readers ignore.
 */
const LAST_VALUES: ReadonlyMap<number, number> = new Map([
  [274, 8],
  [284, 2],
]);

/** Writers use some tens of tags. libtiff compares each with all before it. */
const MAX_TAGS = 1_000;
const BYTES_A_SAMPLE = 0.9;
/** A strip is decompressed whole and then copied. For tiles, a row of them across the picture is held. */
const COPIES = 2;

/** Fails with `unreadable-image`, `unsupported-image` or `too-costly`. */
export function scanTiff(bytes: Uint8Array<ArrayBuffer>): Result<ScannedPicture> {
  const extraSamples = judgeTiffPixels(bytes);
  if (!extraSamples.ok) return extraSamples;
  try {
    const scanned = scanFirstDirectory(bytes);
    if (!scanned.ok || extraSamples.value.length === 0) return scanned;
    const { width, height, decodeBytes } = scanned.value;
    return success({
      ...scanned.value,
      decodeBytes: decodeBytes + width * height * WHOLE_PIXEL_BYTES,
      extraSamples: extraSamples.value,
    });
  } catch (error) {
    if (error instanceof RangeError) return unreadable("TIFF");
    throw error;
  }
}

/** @throws RangeError if the file ends before the data that it announces */
function scanFirstDirectory(bytes: Uint8Array<ArrayBuffer>): Result<ScannedPicture> {
  const layout = tiffLayout(bytes);
  const { isLittle, firstAt, countBytes, entryBytes, offsetBytes } = layout;
  const read = (at: number, length: number) => readNumber(layout, at, length);

  const directory = read(firstAt, offsetBytes);
  const tags = read(directory, countBytes);
  if (tags > MAX_TAGS) return tooCostly(`The TIFF has more than ${MAX_TAGS} tags.`);
  const first = directory + countBytes;
  const keptEntries: number[] = [];
  const values = new Map<number, number>();
  for (let index = 0; index < tags; index++) {
    const entry = first + index * entryBytes;
    const [tag, type] = [read(entry, 2), read(entry + 2, 2)];
    const count = read(entry + 4, offsetBytes);
    const valueBytes = TYPE_BYTES[type] ?? 0;
    const isBounded = count * valueBytes <= (LONG.has(tag) ? bytes.length : MAX_PROFILE_BYTES);
    if (!KEPT.has(tag) || values.has(tag) || !isBounded) continue;
    const valueAt = entry + 4 + offsetBytes;
    const at = count * valueBytes <= offsetBytes ? valueAt : read(valueAt, offsetBytes);
    const isNumber = type === SHORT || type === 4 || type === LONG8;
    const value = isNumber && count > 0 ? read(at, valueBytes) : 0;
    const last = LAST_VALUES.get(tag);
    if (last !== undefined && (value < 1 || value > last)) continue;
    values.set(tag, value);
    keptEntries.push(entry);
  }
  const next = read(first + tags * entryBytes, offsetBytes);

  const numberOf = (tag: number, otherwise: number) => values.get(tag) || otherwise;
  const [width, height] = [numberOf(TAG.width, 0), numberOf(TAG.height, 0)];
  if (width === 0 || height === 0) return unreadable("TIFF");
  const samples = numberOf(TAG.samplesPerPixel, 1);
  const sampleBytes = Math.max(1, numberOf(TAG.bitsPerSample, 1) / 8);
  const rows = Math.min(height, numberOf(TAG.rowsPerStrip, height));
  const tileLength = numberOf(TAG.tileLength, 0);
  const heldRows = tileLength > 0 ? tileLength : rows;
  const heldWidth = Math.max(width, numberOf(TAG.tileWidth, 0));
  const decodeBytes =
    width * height * Math.max(3, samples) * BYTES_A_SAMPLE +
    COPIES * heldRows * heldWidth * samples * sampleBytes;

  if (keptEntries.length === tags && next === 0) return success({ bytes, width, height, decodeBytes });
  const copy = bytes.slice();
  const view = viewOf(copy);
  const write = (at: number, length: number, value: number) => {
    if (length === 8) view.setBigUint64(at, BigInt(value), isLittle);
    else if (length === 4) view.setUint32(at, value, isLittle);
    else view.setUint16(at, value, isLittle);
  };
  keptEntries.forEach((entry, index) => {
    copy.set(bytes.subarray(entry, entry + entryBytes), first + index * entryBytes);
  });
  write(directory, countBytes, keptEntries.length);
  write(first + keptEntries.length * entryBytes, offsetBytes, 0);
  return success({ bytes: copy, width, height, decodeBytes });
}
