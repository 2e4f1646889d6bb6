/** Small picture files for tests: accepted ones with the colours they must decode to, and hostile ones with their codes. */

import sharp, { type Sharp } from "sharp";
import { createRandom } from "../../evaluation/random.ts";
import type { ProblemCode } from "../../shared/problem.ts";
import { pngBomb } from "./bombs.ts";

const WIDTH = 48;
const HEIGHT = 32;

type Colour = readonly [red: number, green: number, blue: number];
const RED: Colour = [220, 40, 30];
const BLUE: Colour = [20, 60, 200];

/** Left half red, right half blue, so that a turned or mirrored picture shows. */
function twoHalves(): Sharp {
  const data = Buffer.alloc(WIDTH * HEIGHT * 3);
  for (let i = 0; i < WIDTH * HEIGHT; i++) data.set(i % WIDTH < WIDTH / 2 ? RED : BLUE, i * 3);
  return sharp(data, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
}

function halfTransparent(): Sharp {
  const [r, g, b] = RED;
  return sharp({
    create: { width: WIDTH, height: HEIGHT, channels: 4, background: { r, g, b, alpha: 0.5 } },
  });
}

export interface AcceptedPicture {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Expected near the left edge and near the right edge, upright. */
  readonly left: Colour;
  readonly right: Colour;
  readonly tolerance: number;
}

const copy = (buffer: Uint8Array): Uint8Array<ArrayBuffer> => Uint8Array.from(buffer);

/** A small JPEG that differs with `seed` in its bytes and its colour. */
export async function jpegPicture(seed = 0): Promise<Uint8Array<ArrayBuffer>> {
  const background = { r: seed % 256, g: (seed >> 8) % 256, b: 128 };
  return copy(
    await sharp({ create: { width: 32, height: 24, channels: 3, background } })
      .jpeg()
      .toBuffer(),
  );
}

/** One file of every accepted kind. */
export async function acceptedPictures(): Promise<AcceptedPicture[]> {
  const on = (name: string, bytes: Uint8Array, tolerance = 3): AcceptedPicture => ({
    name,
    bytes: copy(bytes),
    left: RED,
    right: BLUE,
    tolerance,
  });
  const mixed = RED.map((value) => Math.round((value + 255) / 2)) as [number, number, number];
  const onWhite = (name: string, bytes: Uint8Array): AcceptedPicture => ({
    ...on(name, bytes),
    left: mixed,
    right: mixed,
  });
  const luma = (name: string, bytes: Uint8Array): AcceptedPicture => ({
    ...on(name, bytes, 12),
    left: [104, 104, 104],
    right: [77, 77, 77],
  });
  const upright = await twoHalves().png().toBuffer();
  const turned = await Promise.all(
    [1, 2, 3, 4, 5, 6, 7, 8].map(async (orientation) =>
      on(`JPEG, EXIF orientation ${orientation}`, await storedWithOrientation(upright, orientation)),
    ),
  );
  return [
    on("JPEG", await twoHalves().jpeg({ chromaSubsampling: "4:4:4" }).toBuffer()),
    on("JPEG, progressive", await twoHalves().jpeg({ progressive: true }).toBuffer()),
    on("JPEG, CMYK", await twoHalves().toColourspace("cmyk").jpeg().toBuffer(), 60),
    on("JPEG, Display P3", await twoHalves().withIccProfile("p3").jpeg().toBuffer()),
    luma("JPEG, grey", await twoHalves().greyscale().jpeg().toBuffer()),
    ...turned,
    on("PNG", upright),
    on("PNG, 16 bits", await twoHalves().toColourspace("rgb16").png().toBuffer()),
    on("PNG, palette", await twoHalves().png({ palette: true, colours: 4 }).toBuffer()),
    on("PNG, interlaced", await twoHalves().png({ progressive: true }).toBuffer()),
    onWhite("PNG, alpha", await halfTransparent().png().toBuffer()),
    onWhite("PNG, 16 bits, alpha", await halfTransparent().toColourspace("rgb16").png().toBuffer()),
    luma("PNG, 16 bits, grey", await twoHalves().toColourspace("grey16").png().toBuffer()),
    on("WebP", await twoHalves().webp({ lossless: true }).toBuffer()),
    onWhite("WebP, alpha", await halfTransparent().webp({ lossless: true }).toBuffer()),
    on("AVIF", await twoHalves().avif({ chromaSubsampling: "4:4:4" }).toBuffer()),
    onWhite("AVIF, alpha", await halfTransparent().avif().toBuffer()),
    on("GIF", await twoHalves().gif().toBuffer()),
    on("GIF, animated: the first frame", await animation("gif")),
    on("WebP, animated: the first frame", await animation("webp")),
    on("TIFF", await twoHalves().tiff({ compression: "lzw" }).toBuffer()),
    on("TIFF, CMYK", await twoHalves().toColourspace("cmyk").tiff({ compression: "lzw" }).toBuffer(), 60),
    on("TIFF, 16 bits", await twoHalves().toColourspace("rgb16").tiff({ compression: "lzw" }).toBuffer()),
    on(
      "JPEG with bytes after its end",
      Buffer.concat([await twoHalves().jpeg().toBuffer(), Buffer.alloc(99, 7)]),
    ),
  ];
}

/** `upright` stored so that a reader who applies `orientation` sees it upright again. */
async function storedWithOrientation(upright: Uint8Array, orientation: number): Promise<Uint8Array> {
  const stored = {
    1: (s: Sharp) => s,
    2: (s: Sharp) => s.flop(),
    3: (s: Sharp) => s.rotate(180),
    4: (s: Sharp) => s.flip(),
    // sharp mirrors before it turns.
    5: (s: Sharp) => s.flop().rotate(270),
    6: (s: Sharp) => s.rotate(270),
    7: (s: Sharp) => s.flop().rotate(90),
    8: (s: Sharp) => s.rotate(90),
  }[orientation];
  if (stored === undefined) throw new RangeError(`no orientation ${orientation}`);
  const turned = await stored(sharp(upright)).png().toBuffer();
  return sharp(turned).withMetadata({ orientation }).jpeg({ chromaSubsampling: "4:4:4" }).toBuffer();
}

async function animation(format: "gif" | "webp"): Promise<Uint8Array> {
  const frames = [await twoHalves().png().toBuffer(), await twoHalves().negate().png().toBuffer()];
  return sharp(frames, { join: { animated: true } })
    .toFormat(format, { loop: 0 })
    .toBuffer();
}

/** Noise of a nearly normal distribution, the same one every time: sharp's own is not. */
export function noise({
  width,
  height,
  mean,
  sigma,
}: Readonly<Record<"width" | "height" | "mean" | "sigma", number>>): Sharp {
  const random = createRandom(1);
  const data = new Uint8ClampedArray(3 * width * height);
  for (let i = 0; i < data.length; i++) {
    let sum = 0;
    // The sum of twelve uniform numbers has a variance of 1.
    for (let term = 0; term < 12; term++) sum += random();
    data[i] = mean + sigma * (sum - 6);
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

export interface RefusedPicture {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly code: ProblemCode;
  /** A word that the refusal must say. */
  readonly says?: string;
}

/** Files that must be refused, each with its own code. */
export async function refusedPictures(): Promise<RefusedPicture[]> {
  const latin1 = (text: string) => copy(Buffer.from(text, "latin1"));
  const noisy = noise({ width: 200, height: 150, mean: 128, sigma: 30 });
  const half = async (format: "jpeg" | "png" | "webp" | "avif" | "gif" | "tiff"): Promise<RefusedPicture> => {
    const whole = await noisy.clone().toFormat(format).toBuffer();
    return {
      name: `half a ${format}`,
      bytes: copy(whole.subarray(0, whole.length / 2)),
      code: "unreadable-image",
    };
  };
  return [
    { name: "nothing", bytes: new Uint8Array(), code: "empty-body" },
    { name: "text", bytes: latin1("This is no picture."), code: "not-an-image" },
    { name: "HTML", bytes: latin1("<!doctype html><p>Not found</p>"), code: "not-an-image" },
    { name: "zeros", bytes: new Uint8Array(5000), code: "not-an-image" },
    {
      name: "SVG",
      bytes: latin1('<svg xmlns="http://www.w3.org/2000/svg"/>'),
      code: "unsupported-image",
      says: "SVG",
    },
    {
      name: "SVG with prologue",
      bytes: latin1('\xef\xbb\xbf<?xml version="1.0"?>\n<!-- by hand -->\n<svg width="9" height="9"></svg>'),
      code: "unsupported-image",
      says: "SVG",
    },
    {
      name: "XML made to be slow to search",
      bytes: latin1("<?xml ?>".repeat(10_000)),
      code: "not-an-image",
    },
    { name: "HEIC", bytes: isoMedia("heic", ["mif1", "heic"]), code: "unsupported-image", says: "HEIC" },
    {
      name: "HEIC, generic brand first",
      bytes: isoMedia("mif1", ["heix"]),
      code: "unsupported-image",
      says: "HEIC",
    },
    { name: "MP4", bytes: isoMedia("isom", ["mp42"]), code: "unsupported-image", says: "MP4" },
    { name: "BMP", bytes: latin1("BM\x46\0\0\0\0\0\0\0\x36\0\0\0"), code: "unsupported-image", says: "BMP" },
    { name: "PDF", bytes: latin1("%PDF-1.7\n"), code: "unsupported-image", says: "PDF" },
    { name: "JPEG XL", bytes: latin1("\xff\x0a\0\0"), code: "unsupported-image", says: "JPEG XL" },
    { name: "only a JPEG marker", bytes: latin1("\xff\xd8\xff"), code: "unreadable-image" },
    { name: "only a PNG signature", bytes: latin1("\x89PNG\r\n\x1a\n"), code: "unreadable-image" },
    { name: "AVIF brand and nothing else", bytes: isoMedia("avif", ["mif1"]), code: "unreadable-image" },
    await half("jpeg"),
    await half("png"),
    await half("webp"),
    await half("avif"),
    await half("gif"),
    await half("tiff"),
    {
      name: "PNG of 200 megapixels",
      bytes: pngBomb(20_000, 10_000),
      code: "too-many-pixels",
      says: "20000 x 10000",
    },
    {
      name: "PNG that says 2 GP and holds nothing",
      bytes: pngBomb(50_000, 40_000, 0),
      code: "too-many-pixels",
    },
  ];
}

function isoMedia(major: string, compatible: readonly string[]): Uint8Array<ArrayBuffer> {
  const box = Buffer.concat([
    Buffer.alloc(4),
    Buffer.from(`ftyp${major}\0\0\0\0${compatible.join("")}`, "latin1"),
  ]);
  box.writeUInt32BE(box.length);
  return copy(Buffer.concat([box, Buffer.alloc(64)]));
}
