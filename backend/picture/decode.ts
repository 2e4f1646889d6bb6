/**
 * Decodes an inspected picture to pixels of the model's size. The decoder's own reading of the header is checked
 * against the container's before anything is decoded. No limit on memory, which is decoder.ts's task; no HTTP, no
 * model.
 */

import { isMainThread } from "node:worker_threads";
import sharp, { type Metadata, type Sharp } from "sharp";
import { failure, type Result, success } from "../../shared/result.ts";
import { breaksOff, type ExtraSample } from "./containers/scanned-picture.ts";
import type { InspectedPicture } from "./inspect.ts";
import type { PictureLimits } from "./limits.ts";
import { type ResampleFilter, resample } from "./resample.ts";

/** A larger picture is first reduced by libvips, which streams it. That limits memory and the time on our own thread. */
const EXACT_RESIZE_PIXELS = 2_000_000;

const WHITE = 255;
/** Cyan, magenta, yellow, black. */
const INKS = 4;

// libvips keeps these settings for the whole process. If another thread set them again, it would briefly take every
// decoder away from all threads, and pictures being decoded would be called unreadable.
if (isMainThread) {
  // Every picture is different, so libvips' cache of operations would only hold memory.
  sharp.cache(false);
  // Pictures are decoded in parallel, so each gets one thread.
  sharp.concurrency(1);
  // Only the decoders of accepted formats can be reached, whatever a file claims to be.
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
 * Decodes the first frame to upright 8-bit sRGB on white, and resizes it to the model's square as Pillow does.
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
  // If more than the end marker is missing, different data in its place decodes to different pixels.
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
    // With a Lab profile libvips would read the colours as L*a*b*. It ignores other profiles that do not fit the colours.
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
    // sharp throws plain errors; our own code throws other kinds.
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
 * Converts to 8-bit sRGB by the embedded profile. By default sharp converts deeper colours to Display P3 and leaves
 * them there, and ignores the profile of deeper grey. With these pipelines both become 8-bit first and are
 * converted like all others. Inks are left out: sharp converts them from any depth by their profile, and with these
 * pipelines by a different one.
 */
function inColour(pipeline: Sharp, { isGrey = false }: InspectedPicture, metadata: Metadata): Sharp {
  const { depth, space } = metadata;
  const isDeep = depth !== "uchar" && space !== "cmyk";
  // libheif turned grey into colours, but the profile is for grey.
  const wasGrey = isGrey && profileSpace(metadata) === "GRAY";
  if (wasGrey || space === "grey16") pipeline.pipelineColourspace("b-w");
  else if (isDeep) pipeline.pipelineColourspace("srgb");
  return pipeline.toColourspace("srgb");
}

/** Keeps the inks themselves, in 8 bits; otherwise sharp would convert them to sRGB by a profile of its own. */
function asInks(pipeline: Sharp, { depth, channels }: Pick<Metadata, "depth" | "channels">): Sharp {
  const inks = pipeline.pipelineColourspace("cmyk").toColourspace("cmyk");
  // One factor per channel; otherwise what follows the inks would stay as it is.
  const each = (value: number) => Array<number>(channels).fill(value);
  return depth === "uchar" ? inks : inks.linear(each(1 / 257), each(0.5));
}

/** The colour space of the embedded profile, from its header (ICC.1, section 7.2.8). */
function profileSpace({ icc }: Pick<Metadata, "icc">): string | undefined {
  return icc?.toString("latin1", 16, 20);
}

function toBytes(pipeline: Sharp): Promise<Decoded> {
  return pipeline.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
}

/** Reduces a huge picture, but leaves both sides at least twice the model's; then this step's error no longer shows. */
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

/** Stretches values from 16 to 235 to the full range, in place: ITU-T H.273, section 8.3. */
function toFullRange({ data, info: { channels } }: Decoded, extraSamples: number): void {
  const stretched = Uint8ClampedArray.from({ length: 256 }, (_, value) => ((value - 16) * WHITE) / 219);
  const colours = channels - extraSamples;
  for (let i = 0; i < data.length; i++) {
    if (i % channels < colours) data[i] = stretched[data[i] as number] as number;
  }
}

/**
 * Puts inks, or pixels with extra samples, on white by their first alpha sample. libvips takes anything that
 * follows the colours for transparency, so it is not told about it.
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
      // What an ink and black together let through, as browsers and Pillow compute it when there is no profile.
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

/** libvips' own words go to the log only, because they name its functions and parts of the file. */
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
