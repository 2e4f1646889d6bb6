/**
 * An inspected picture in, pixels of the model's size out. The decoder's own reading of the header is checked against
 * the container's before it decodes. Bounds no memory: decoder.ts does. No HTTP, no model.
 */

import { isMainThread } from "node:worker_threads";
import sharp, { type Metadata, type Sharp } from "sharp";
import { failure, type Result, success } from "../../shared/result.ts";
import { breaksOff, type ExtraSample } from "./containers/scanned-picture.ts";
import type { InspectedPicture } from "./inspect.ts";
import type { PictureLimits } from "./limits.ts";
import { type ResampleFilter, resample } from "./resample.ts";

/** Past this a picture is first reduced by libvips, which streams: memory and the time on our thread stay bounded. */
const EXACT_RESIZE_PIXELS = 2_000_000;

const WHITE = 255;
/** Cyan, magenta, yellow, black. */
const INKS = 4;

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

export interface PixelFormat {
  /** Height and width of the result. */
  readonly size: number;
  readonly filter: ResampleFilter;
}

/**
 * Decodes to upright 8-bit sRGB on white, the first frame of an animation, resized to the model's square as Pillow does.
 * Fails with `unreadable-image`, `unsupported-image` or `decode-timeout`.
 *
 * @returns uint8 [3, size, size], RGB
 */
export async function decodePicture(
  picture: InspectedPicture,
  format: PixelFormat,
  limits: PictureLimits,
): Promise<Result<Uint8Array>> {
  const pixels = await decodeWhole(picture, format, limits);
  if (!pixels.ok || picture.withOtherEnd === undefined) return pixels;
  // What lacks more than its end marker decodes to other pixels when other data stands there.
  const other = await decodeWhole({ ...picture, bytes: picture.withOtherEnd }, format, limits);
  return other.ok && pixels.value.every((value, i) => value === other.value[i]) ? pixels : breaksOff();
}

async function decodeWhole(
  picture: InspectedPicture,
  { size, filter }: PixelFormat,
  { maxPixels, decodeTimeoutSeconds }: PictureLimits,
): Promise<Result<Uint8Array>> {
  const input = {
    failOn: "error",
    limitInputPixels: maxPixels,
    limitInputChannels: 0,
    sequentialRead: true,
  } as const;
  try {
    const metadata = await sharp(picture.bytes, { ...input, limitInputPixels: false }).metadata();
    const shown = metadata.autoOrient;
    if (shown.width * shown.height > picture.width * picture.height) {
      return failure("unreadable-image", "The picture's header contradicts itself.");
    }
    // libvips reads the colours as L*a*b* by such a profile; others that do not fit them it passes over by itself.
    const ignoreIcc = profileSpace(metadata) === "Lab ";
    const opened = sharp(picture.bytes, { ...input, autoOrient: true, ignoreIcc }).timeout({
      seconds: decodeTimeoutSeconds,
    });
    const isPremultiplied = picture.isPremultiplied === true && metadata.hasAlpha === true;
    const isLimitedGrey = picture.isLimitedGrey === true;
    const isAlphaOurs = isPremultiplied || (isLimitedGrey && metadata.hasAlpha === true);
    const extraSamples: readonly ExtraSample[] = isAlphaOurs ? ["alpha"] : (picture.extraSamples ?? []);
    const isBareInks = metadata.space === "cmyk" && profileSpace(metadata) !== "CMYK";
    const pipeline = isBareInks ? asInks(opened, metadata) : inColour(opened, picture, metadata);
    const decoded = await toBytes(
      extraSamples.length > 0
        ? pipeline
        : reduceHuge(isBareInks ? pipeline : pipeline.flatten({ background: "#ffffff" }), shown, size),
    );
    if (isLimitedGrey) toFullRange(decoded, extraSamples.length);
    const { data, info } =
      isBareInks || extraSamples.length > 0 ? onWhite(decoded, extraSamples, { isPremultiplied }) : decoded;
    if (info.channels !== 3) throw new Error(`This is a bug: decoded to ${info.channels} channels.`);
    const resized = resample(
      { data, width: info.width, height: info.height },
      { width: size, height: size, filter },
    );
    return success(toPlanes(resized.data));
  } catch (error) {
    // Of our own code other kinds of error come; sharp throws plain ones.
    const isOfSharp = error instanceof Error && error.constructor === Error;
    if (!isOfSharp || error.message.startsWith("This is a bug")) throw error;
    return failureOf(error.message, decodeTimeoutSeconds);
  }
}

interface Size {
  readonly width: number;
  readonly height: number;
}

interface Decoded {
  readonly data: Uint8Array;
  readonly info: Size & { readonly channels: number };
}

/**
 * In 8-bit sRGB by the embedded profile. sharp takes deeper colours to Display P3 by default, and leaves them there, and
 * passes over the profile of deeper grey; with these pipelines they become 8-bit first and go the way of all others. It
 * takes inks of any depth to sRGB by their profile, and with these pipelines by another one.
 */
function inColour(pipeline: Sharp, { isGrey = false }: InspectedPicture, metadata: Metadata): Sharp {
  const { depth, space } = metadata;
  const isDeep = depth !== "uchar" && space !== "cmyk";
  // Grey that libheif made colours of; the profile is for the grey.
  const wasGrey = isGrey && profileSpace(metadata) === "GRAY";
  if (wasGrey || space === "grey16") pipeline.pipelineColourspace("b-w");
  else if (isDeep) pipeline.pipelineColourspace("srgb");
  return pipeline.toColourspace("srgb");
}

/** The inks themselves, of 8 bits; sharp would take them to sRGB by a profile of its own. */
function asInks(pipeline: Sharp, { depth, channels }: Pick<Metadata, "depth" | "channels">): Sharp {
  const inks = pipeline.pipelineColourspace("cmyk").toColourspace("cmyk");
  // One factor a channel, or what stands behind the inks would be left as it is.
  const each = (value: number) => Array<number>(channels).fill(value);
  return depth === "uchar" ? inks : inks.linear(each(1 / 257), each(0.5));
}

/** Of the embedded profile, as its header names it (ICC.1, section 7.2.8). */
function profileSpace({ icc }: Pick<Metadata, "icc">): string | undefined {
  return icc?.toString("latin1", 16, 20);
}

function toBytes(pipeline: Sharp): Promise<Decoded> {
  return pipeline.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
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

/** Stretches what lies from 16 to 235, in place: ITU-T H.273, section 8.3. */
function toFullRange({ data, info: { channels } }: Decoded, extraSamples: number): void {
  const stretched = Uint8ClampedArray.from({ length: 256 }, (_, value) => ((value - 16) * WHITE) / 219);
  const colours = channels - extraSamples;
  for (let i = 0; i < data.length; i++) {
    if (i % channels < colours) data[i] = stretched[data[i] as number] as number;
  }
}

/**
 * The colours of inks, and of pixels that have more behind them, on white by the first alpha. libvips takes whatever
 * stands behind the colours for transparency, so it is told nothing of it.
 */
function onWhite(
  { data, info }: Decoded,
  extraSamples: readonly ExtraSample[],
  { isPremultiplied }: { readonly isPremultiplied: boolean },
): Decoded {
  const { width, height, channels } = info;
  const colours = channels - extraSamples.length;
  const alphaAt = extraSamples.indexOf("alpha");
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const at = pixel * channels;
    const alpha = alphaAt === -1 ? WHITE : (data[at + colours + alphaAt] as number);
    const black = colours === INKS ? (data[at + 3] as number) : 0;
    for (let c = 0; c < 3; c++) {
      const sample = data[at + (colours === 1 ? 0 : c)] as number;
      // What an ink and black let through, as browsers and Pillow have it where no profile says more.
      const value = colours === INKS ? ((WHITE - sample) * (WHITE - black)) / WHITE : sample;
      const shown = isPremultiplied ? Math.min(value, alpha) : (value * alpha) / WHITE;
      rgb[3 * pixel + c] = Math.round(shown + WHITE - alpha);
    }
  }
  return { data: rgb, info: { width, height, channels: 3 } };
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

/** What libvips says is for the log: it names its own functions, and parts of the file. */
function failureOf(reason: string, seconds: number): Result<never> {
  if (/timeout/i.test(reason)) {
    return failure("decode-timeout", `Decoding took more than ${seconds} s.`, { reason });
  }
  return /unsupported|not supported|not compiled|no known route|not implemented/i.test(reason)
    ? failure(
        "unsupported-image",
        "The picture is coded in a way that is not supported. Save it as an ordinary JPEG or PNG.",
        { reason },
      )
    : failure("unreadable-image", "The picture's data is damaged or incomplete.", { reason });
}
