/**
 * Judges a picture's file by its container alone, before a decoder sees it: format, size, and what decoding will
 * cost. Takes time linear in the file's length, decompresses nothing but a colour profile, and decodes nothing.
 */

import { pictureFormat } from "../../shared/intake/picture.ts";
import type { PictureFormat } from "../../shared/picture-format.ts";
import { failure, type Result, success } from "../../shared/result.ts";
import { scanGif } from "./containers/gif.ts";
import { scanIsoMedia } from "./containers/iso-media.ts";
import { scanJpeg } from "./containers/jpeg.ts";
import { scanPng } from "./containers/png.ts";
import type { ScannedPicture } from "./containers/scanned-picture.ts";
import { scanTiff } from "./containers/tiff.ts";
import { scanWebp } from "./containers/webp.ts";
import type { PictureLimits } from "./limits.ts";

/**
 * Largest width or height, as in JPEG. libvips holds whole rows in several forms: a PNG of 2,097,200 x 32 pixels
 * took gigabytes and ten seconds.
 */
const MAX_SIDE_PIXELS = 65_535;
const MIB = 1024 * 1024;

const SCANNERS: Readonly<Record<PictureFormat, (bytes: Uint8Array<ArrayBuffer>) => Result<ScannedPicture>>> =
  {
    JPEG: scanJpeg,
    PNG: scanPng,
    WebP: scanWebp,
    AVIF: scanIsoMedia,
    GIF: scanGif,
    TIFF: scanTiff,
  };

/** A picture whose container was read and found harmless. `bytes` are the part of it that a decoder may see. */
export interface InspectedPicture extends ScannedPicture {
  readonly format: PictureFormat;
}

/**
 * Fails with `empty-body`, `not-an-image`, `unsupported-image`, `unreadable-image`, `too-many-pixels` or `too-costly`.
 */
export function inspectPicture(
  bytes: Uint8Array<ArrayBuffer>,
  { maxPixels, maxDecodeBytes }: Pick<PictureLimits, "maxPixels" | "maxDecodeBytes">,
): Result<InspectedPicture> {
  const format = pictureFormat(bytes);
  if (!format.ok) return format;
  const scanned = SCANNERS[format.value](bytes);
  if (!scanned.ok) return scanned;
  const { width, height, decodeBytes } = scanned.value;
  if (width * height > maxPixels || Math.max(width, height) > MAX_SIDE_PIXELS) {
    const accepted = `at most ${maxPixels} are accepted, ${MAX_SIDE_PIXELS} on a side`;
    return failure("too-many-pixels", `${width} x ${height} pixels; ${accepted}.`);
  }
  if (decodeBytes > maxDecodeBytes) {
    const [needed, accepted] = [decodeBytes, maxDecodeBytes].map((value) => Math.ceil(value / MIB));
    const what = `${width} x ${height} pixels of this kind of ${format.value}`;
    return failure(
      "too-many-pixels",
      `${what} take ${needed} MiB to decode; at most ${accepted} are allowed.`,
    );
  }
  return success({ ...scanned.value, format: format.value });
}
