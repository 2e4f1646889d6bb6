/**
 * Judges what the pixels of a TIFF (TIFF 6.0 or BigTIFF) mean, by the tags of its first directory. A file for which
 * libtiff would show wrong colours, or the preview instead of the picture, is refused by name.
 */

import { failure, type Result, success } from "../../../shared/result.ts";
import { breaksOff, type ExtraSample, unreadable } from "./scanned-picture.ts";
import { readNumber, type TiffLayout, tiffLayout } from "./tiff-layout.ts";

const TAG = {
  bitsPerSample: 258,
  compression: 259,
  photometric: 262,
  samplesPerPixel: 277,
  planarConfiguration: 284,
  subDirectories: 330,
  extraSamples: 338,
  sampleFormat: 339,
  dngVersion: 50706,
} as const;

/** Bytes of a value by its type; 0 for types that none of our tags has. */
const TYPE_BYTES: Readonly<Record<number, number>> = { 1: 1, 3: 2, 4: 4, 16: 8 };

const COMPRESSIONS: ReadonlySet<number> = new Set([1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50001]);
const COMPRESSION_NAMES: Readonly<Record<number, string>> = {
  6: "old-style JPEG",
  9: "JBIG",
  10: "JBIG",
  32809: "ThunderScan",
  33003: "JPEG 2000",
  33004: "JPEG 2000",
  33005: "JPEG 2000",
  34661: "JBIG",
  34712: "JPEG 2000",
  34887: "LERC",
  34892: "lossy DNG",
  34925: "LZMA",
  34926: "Zstandard",
  34927: "WebP",
  34933: "PNG",
  50000: "Zstandard",
  50002: "JPEG XL",
  52546: "JPEG XL",
};
const JPEG = 7;

const PHOTOMETRIC = { whiteIsZero: 0, blackIsZero: 1, rgb: 2, palette: 3, cmyk: 5, ycbcr: 6 } as const;
const PHOTOMETRIC_NAMES: Readonly<Record<number, string>> = {
  4: "a transparency mask",
  8: "CIELAB",
  9: "ICC L*a*b*",
  10: "ITU L*a*b*",
  32844: "LogL",
  32845: "LogLuv",
};
/** Colour filter array and linear raw: what cameras write into a TIFF structure. */
const RAW_PHOTOMETRICS: ReadonlySet<number> = new Set([32803, 34892]);

/** Bits per sample. */
const WHOLE_BYTES = [8, 16];
const SEPARATE_PLANES = 2;

/** Associated and unassociated alpha; libvips treats both alike. */
const ALPHA_KINDS: readonly number[] = [1, 2];

const COLOURS: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3 };

const SAMPLE_FORMAT_NAMES: Readonly<Record<number, string>> = {
  2: "signed integers",
  3: "floating point",
  5: "complex integers",
  6: "complex floating point",
};

/** Most samples per pixel: the tag has 16 bits, TIFF 6.0 section 8. */
const MAX_SAMPLES = 65_535;
/** Most directories, taken together, that a file may make us read. */
const MAX_DIRECTORIES = 16;
const MAX_ENTRIES = 4096;
const MAX_VALUES = 64;

interface Directory {
  readonly values: ReadonlyMap<number, readonly number[]>;
  /** Where the file stores the offset of the next directory. */
  readonly nextAt: number;
}

/**
 * What follows the colours of each pixel; empty if nothing does. Fails with `unsupported-image` or
 * `unreadable-image`.
 */
export function judgeTiffPixels(bytes: Uint8Array): Result<readonly ExtraSample[]> {
  if (bytes.length < 16) return unreadable("TIFF");
  const layout = tiffLayout(bytes);
  const firstOffset = readOffset(layout, layout.firstAt);
  if (firstOffset >= bytes.length) return breaksOff();
  const first = readDirectory(layout, firstOffset);
  if (first === undefined) return unreadable("TIFF");
  const refusal = refuse(layout, first);
  if (refusal !== undefined) {
    return failure("unsupported-image", `${refusal} is not supported. Convert it to JPEG or PNG.`);
  }
  const value = (tag: number, fallback: number) => first.values.get(tag)?.[0] ?? fallback;
  const samples = value(TAG.samplesPerPixel, 1);
  if (samples > MAX_SAMPLES) return unreadable("TIFF");
  const colours = COLOURS[value(TAG.photometric, PHOTOMETRIC.blackIsZero)] ?? samples;
  const kinds = first.values.get(TAG.extraSamples) ?? [];
  return success(
    Array.from(
      { length: Math.max(0, samples - colours) },
      (_, i): ExtraSample => (ALPHA_KINDS.includes(kinds[i] ?? 0) ? "alpha" : "ignored"),
    ),
  );
}

/** What this file is, if it is something that we cannot decode correctly. */
function refuse(layout: TiffLayout, first: Directory): string | undefined {
  const value = (tag: number, fallback: number) => first.values.get(tag)?.[0] ?? fallback;
  if (isCameraRaw(layout, first)) return "Camera raw (DNG, NEF, CR2, ARW and the like)";
  const compression = value(TAG.compression, 1);
  if (!COMPRESSIONS.has(compression)) {
    return `TIFF compressed with ${COMPRESSION_NAMES[compression] ?? `method ${compression}`}`;
  }
  const photometric = value(TAG.photometric, PHOTOMETRIC.blackIsZero);
  if (COLOURS[photometric] === undefined)
    return `TIFF in ${PHOTOMETRIC_NAMES[photometric] ?? `photometric ${photometric}`}`;
  if (photometric === PHOTOMETRIC.ycbcr && compression !== JPEG)
    return "TIFF in YCbCr without JPEG compression";
  const format = first.values.get(TAG.sampleFormat)?.find((kind) => SAMPLE_FORMAT_NAMES[kind] !== undefined);
  if (format !== undefined) return `TIFF of ${SAMPLE_FORMAT_NAMES[format]}`;
  const bits = first.values.get(TAG.bitsPerSample) ?? [1];
  const samples = value(TAG.samplesPerPixel, 1);
  const known = samples > 1 ? WHOLE_BYTES : [1, 2, 4, ...WHOLE_BYTES];
  const odd = bits.find((count) => !known.includes(count) || count !== bits[0]);
  if (odd !== undefined) return `TIFF with ${[...new Set(bits)].join(" and ")} bits a sample`;
  // libvips reads these as if planes were interleaved pixel by pixel.
  const isPlanar = value(TAG.planarConfiguration, 1) === SEPARATE_PLANES;
  return isPlanar && COLOURS[photometric] === 1 && samples > 1
    ? "TIFF in grey with transparency or other channels in planes of their own"
    : undefined;
}

/** Cameras put a small preview into the first directory, and the sensor's data beside or below it. */
function isCameraRaw(layout: TiffLayout, first: Directory): boolean {
  let left = MAX_DIRECTORIES;
  const isRaw = (directory: Directory): boolean => {
    const photometric = directory.values.get(TAG.photometric)?.[0];
    if (photometric !== undefined && RAW_PHOTOMETRICS.has(photometric)) return true;
    return (directory.values.get(TAG.subDirectories) ?? []).some((offset) => {
      const below = left-- > 0 ? readDirectory(layout, offset) : undefined;
      return below !== undefined && isRaw(below);
    });
  };
  if (first.values.has(TAG.dngVersion)) return true;
  for (let directory: Directory | undefined = first; directory !== undefined && left-- > 0; ) {
    if (isRaw(directory)) return true;
    const next = readOffset(layout, directory.nextAt);
    directory = next === 0 ? undefined : readDirectory(layout, next);
  }
  return false;
}

/** The offset at `at`, or 0, which means none, if the file ends before it. */
function readOffset(layout: TiffLayout, at: number): number {
  const { view, offsetBytes } = layout;
  return at + offsetBytes > view.byteLength ? 0 : readNumber(layout, at, offsetBytes);
}

/** The directory at `offset`; undefined if it does not lie within the file. */
function readDirectory(layout: TiffLayout, offset: number): Directory | undefined {
  const { view, countBytes, entryBytes, offsetBytes } = layout;
  if (offset < 8 || offset + countBytes > view.byteLength) return undefined;
  const count = readNumber(layout, offset, countBytes);
  const start = offset + countBytes;
  const nextAt = start + count * entryBytes;
  if (count > MAX_ENTRIES || nextAt + offsetBytes > view.byteLength) return undefined;
  const wanted: ReadonlySet<number> = new Set(Object.values(TAG));
  const values = new Map<number, number[]>();
  for (let at = start; at < nextAt; at += entryBytes) {
    const tag = readNumber(layout, at, 2);
    const size = TYPE_BYTES[readNumber(layout, at + 2, 2)];
    if (!wanted.has(tag) || size === undefined || values.has(tag)) continue;
    const held = readNumber(layout, at + 4, offsetBytes);
    const length = Math.min(held, MAX_VALUES);
    const valueAt = at + 4 + offsetBytes;
    const from = held * size <= offsetBytes ? valueAt : readOffset(layout, valueAt);
    if (from + length * size > view.byteLength) return undefined;
    values.set(
      tag,
      Array.from({ length }, (_, i) => readNumber(layout, from + i * size, size)),
    );
  }
  return { values, nextAt };
}
