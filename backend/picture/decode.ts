/**
 * An inspected picture in, pixels of the model's size out. The decoder's own reading of the header is checked against
 * the container's before it decodes. Bounds no memory: decoder.ts does. No HTTP, no model.
 */

import { isMainThread } from "node:worker_threads";
import sharp, { type Sharp } from "sharp";
import { failure, type Result, success } from "../../shared/result.ts";
import type { InspectedPicture } from "./inspect.ts";
import { type ResampleFilter, resample } from "./resample.ts";

/** Past this a picture is first reduced by libvips, which streams: memory and the time on our thread stay bounded. */
const EXACT_RESIZE_PIXELS = 2_000_000;

// libvips keeps these settings for the whole process. A thread that sets them again takes every decoder away from the
// others for a moment, and pictures in flight would be called unreadable.
if (isMainThread) {
  // Every picture is another one: libvips' cache of operations would only hold memory.
  sharp.cache(false);
  // Pictures are decoded beside each other, so one thread each.
  sharp.concurrency(1);
  // Only the decoders of the accepted formats can be reached, whatever a file pretends to be.
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({
    operation: [
      "VipsForeignLoadJpegBuffer",
      "VipsForeignLoadPngBuffer",
      "VipsForeignLoadWebpBuffer",
      "VipsForeignLoadHeifBuffer",
      "VipsForeignLoadNsgifBuffer",
      "VipsForeignLoadTiffBuffer",
    ],
  });
}

export interface PictureLimits {
  /** Most width x height of a file. */
  readonly maxPixels: number;
  /** Most memory that decoding may take, beside the file. */
  readonly maxDecodeBytes: number;
  /** Whole seconds of one processor that decoding may take. */
  readonly decodeTimeoutSeconds: number;
}

export interface PixelFormat {
  /** Height and width of the result. */
  readonly size: number;
  readonly filter: ResampleFilter;
}

/** A white picture of `size` x `size` pixels, for warming decoders up. */
export async function blankPicture(size: number): Promise<Uint8Array<ArrayBuffer>> {
  const blank = sharp({ create: { width: size, height: size, channels: 3, background: "#ffffff" } });
  return Uint8Array.from(await blank.jpeg().toBuffer());
}

/**
 * Decodes to upright 8-bit sRGB on white, the first frame of an animation, resized to the model's square as Pillow does.
 * Fails with `unreadable-image` or `decode-timeout`.
 *
 * @returns uint8 [3, size, size], RGB
 */
export async function decodePicture(
  picture: InspectedPicture,
  { size, filter }: PixelFormat,
  { maxPixels, decodeTimeoutSeconds }: PictureLimits,
): Promise<Result<Uint8Array>> {
  const pipeline = sharp(picture.bytes, {
    failOn: "error",
    limitInputPixels: maxPixels,
    sequentialRead: true,
    autoOrient: true,
  })
    .flatten({ background: "#ffffff" })
    .toColourspace("srgb")
    .timeout({ seconds: decodeTimeoutSeconds });
  try {
    const shown = await shownSize(picture);
    if (shown === undefined) return failure("unreadable-image", "The picture's header contradicts itself.");
    const { data, info } = await reduceHuge(pipeline, shown, size)
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`This is a bug: decoded to ${info.channels} channels.`);
    const resized = resample(
      { data, width: info.width, height: info.height },
      { width: size, height: size, filter },
    );
    return success(toPlanes(resized.data));
  } catch (error) {
    if (!(error instanceof Error) || error.message.startsWith("This is a bug")) throw error;
    return /timeout/i.test(error.message)
      ? failure("decode-timeout", `Decoding took more than ${decodeTimeoutSeconds} s.`)
      : failure("unreadable-image", "The picture's data is damaged or incomplete.");
  }
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** The size once EXIF orientation is applied; undefined where the decoder sees more than its container told us. */
async function shownSize({ bytes, width, height }: InspectedPicture): Promise<Size | undefined> {
  const { autoOrient } = await sharp(bytes, { limitInputPixels: false }).metadata();
  return autoOrient.width * autoOrient.height > width * height ? undefined : autoOrient;
}

/** Both sides stay at least twice the model's, where the error of the first reduction no longer shows. */
function reduceHuge(pipeline: Sharp, { width, height }: Size, size: number): Sharp {
  const scale = Math.sqrt(EXACT_RESIZE_PIXELS / (width * height));
  if (scale >= 1) return pipeline;
  const reduced = (side: number) => Math.min(side, Math.max(Math.ceil(side * scale), 2 * size));
  return pipeline.resize(reduced(width), reduced(height), {
    fit: "fill",
    kernel: "cubic",
    fastShrinkOnLoad: false,
  });
}

/** [height, width, 3] to [3, height, width]. */
function toPlanes(interleaved: Uint8Array): Uint8Array {
  const plane = interleaved.length / 3;
  const planes = new Uint8Array(interleaved.length);
  for (let i = 0; i < plane; i++) {
    planes[i] = interleaved[3 * i] as number;
    planes[plane + i] = interleaved[3 * i + 1] as number;
    planes[2 * plane + i] = interleaved[3 * i + 2] as number;
  }
  return planes;
}
