/** Small picture files for tests: accepted ones with the colours they must decode to, and hostile ones with their codes. */

import { crc32, deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import type { ProblemCode } from "../../shared/problem.ts";

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
  const noisy = sharp({
    create: {
      width: 200,
      height: 150,
      channels: 3,
      noise: { type: "gaussian", mean: 128, sigma: 30 },
      background: "black",
    },
  });
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

/** An all-black 1-bit PNG of any size, a few kilobytes on the wire; `rows` rows of data are really there. */
export function pngBomb(width: number, height: number, rows = height): Uint8Array<ArrayBuffer> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const data = deflateSync(Buffer.alloc(rows * (1 + Math.ceil(width / 8))));
  return copy(
    Buffer.concat([
      Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
      pngChunk("IHDR", header),
      pngChunk("IDAT", data),
      pngChunk("IEND", Buffer.alloc(0)),
    ]),
  );
}

export function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}

/** `png` with chunks of these types and contents before its data. */
export function pngWith(
  png: Uint8Array,
  chunks: readonly (readonly [type: string, data: Buffer])[],
): Uint8Array<ArrayBuffer> {
  const data = Buffer.from(png).indexOf("IDAT") - 4;
  const added = chunks.map(([type, content]) => pngChunk(type, content));
  return copy(Buffer.concat([png.subarray(0, data), ...added, png.subarray(data)]));
}

/** 12 x 12 pixels, and fourteen pieces of text that inflate to 40 MB each. */
export function textBomb(): Uint8Array<ArrayBuffer> {
  const text = deflateSync(Buffer.alloc(40_000_000, "a"));
  const zTXt = Buffer.concat([Buffer.from("k\0\0", "latin1"), text]);
  const iTXt = Buffer.concat([Buffer.from("k\0\x01\0\0\0", "latin1"), text]);
  const chunks = Array.from({ length: 14 }, (_, i) =>
    i % 2 === 0 ? (["zTXt", zTXt] as const) : (["iTXt", iTXt] as const),
  );
  return pngWith(pngBomb(12, 12), chunks);
}

/**
 * A progressive JPEG of one colour, each of its scans over all blocks and none longer than some tens of bytes: runs of
 * blocks that end at once (ITU-T T.81, figure G.6), one coefficient a scan.
 */
export async function scanBomb({
  size,
  scans,
}: {
  size: number;
  scans: number;
}): Promise<Uint8Array<ArrayBuffer>> {
  const jpeg = await sharp({ create: { width: size, height: size, channels: 3, background: "grey" } })
    .jpeg({ progressive: true, chromaSubsampling: "4:4:4" })
    .toBuffer();
  const firstScan = jpeg.indexOf("\xff\xda", 0, "latin1");
  const itsEnd = Math.min(
    ...["\xff\xda", "\xff\xc4"].map((marker) => jpeg.indexOf(marker, firstScan + 2, "latin1")),
  );
  // One code of one bit: a run of 16,384 blocks and as many more as the 14 bits behind it say.
  const table = Buffer.from([0xff, 0xc4, 0, 20, 0x10, 1, ...Array.from({ length: 15 }, () => 0), 0xe0]);
  const blocks = Math.ceil(size / 8) ** 2;
  let bits = "";
  for (let left = blocks; left > 0; left -= 32_767) {
    bits += `0${Math.max(0, Math.min(left, 32_767) - 16_384)
      .toString(2)
      .padStart(14, "0")}`;
  }
  const data = bits.match(/.{1,8}/g)?.flatMap((byte) => {
    const value = Number.parseInt(byte.padEnd(8, "1"), 2);
    return value === 0xff ? [0xff, 0] : [value];
  });
  const added = Array.from({ length: scans - 1 }, (_, index) => {
    const coefficient = 1 + (index % 63);
    const component = 1 + (Math.floor(index / 63) % 3);
    const header = [0xff, 0xda, 0, 8, 1, component, 0, coefficient, coefficient, 0];
    return Buffer.from([...header, ...(data ?? [])]);
  });
  return copy(Buffer.concat([jpeg.subarray(0, itsEnd), table, ...added, Buffer.of(0xff, 0xd9)]));
}

/** One pixel, moving `frames` times. */
export function animationBomb(format: "webp" | "gif" | "apng", frames: number): Uint8Array<ArrayBuffer> {
  switch (format) {
    case "webp":
      return webpFrames(frames);
    case "gif":
      return gifFrames(frames);
    case "apng":
      return apngFrames(frames);
  }
}

function gifFrames(frames: number): Uint8Array<ArrayBuffer> {
  const screen = Buffer.from("GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff", "latin1");
  const frame = Buffer.from("\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0", "latin1");
  return copy(Buffer.concat([screen, ...Array.from({ length: frames }, () => frame), Buffer.from(";")]));
}

function apngFrames(frames: number): Uint8Array<ArrayBuffer> {
  const png = Buffer.from(pngBomb(1, 1));
  const data = deflateSync(Buffer.alloc(2));
  const control = (sequence: number) => {
    const body = Buffer.alloc(26);
    for (const [at, value] of [sequence, 1, 1].entries()) body.writeUInt32BE(value, 4 * at);
    return body;
  };
  const numbered = (sequence: number) => {
    const body = Buffer.alloc(4 + data.length);
    body.writeUInt32BE(sequence);
    data.copy(body, 4);
    return body;
  };
  const animation = Buffer.alloc(8);
  animation.writeUInt32BE(frames);
  const later = Array.from({ length: frames - 1 }, (_, i) => [
    pngChunk("fcTL", control(2 * i + 1)),
    pngChunk("fdAT", numbered(2 * i + 2)),
  ]).flat();
  const end = png.length - 12;
  return copy(
    Buffer.concat([
      pngWith(png, [
        ["acTL", animation],
        ["fcTL", control(0)],
      ]).subarray(0, -12),
      ...later,
      png.subarray(end),
    ]),
  );
}

function webpFrames(frames: number): Uint8Array<ArrayBuffer> {
  const chunk = (type: string, data: Buffer) => {
    const header = Buffer.alloc(8);
    header.write(type, "latin1");
    header.writeUInt32LE(data.length, 4);
    return Buffer.concat([header, data, Buffer.alloc(data.length % 2)]);
  };
  // A lossless picture of one pixel: its size, then codes of a single symbol each.
  const pixel = chunk("VP8L", Buffer.from("2f000000000710fd8ffe0722a2ff01", "hex"));
  const frame = chunk("ANMF", Buffer.concat([Buffer.alloc(16), pixel]));
  const body = Buffer.concat([
    chunk("VP8X", Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    chunk("ANIM", Buffer.alloc(6)),
    ...Array.from({ length: frames }, () => frame),
  ]);
  const riff = Buffer.alloc(8);
  riff.write("RIFF", "latin1");
  riff.writeUInt32LE(body.length + 4, 4);
  return copy(Buffer.concat([riff, Buffer.from("WEBP"), body]));
}

/** `jpeg` with empty comments after its first marker. */
export function commentBomb(jpeg: Uint8Array, comments: number): Uint8Array<ArrayBuffer> {
  const all = Buffer.alloc(4 * comments, Buffer.from([0xff, 0xfe, 0, 2]));
  return copy(Buffer.concat([jpeg.subarray(0, 2), all, jpeg.subarray(2)]));
}

/** A TIFF of many directories, each of one pixel, and of a tag that names a megabyte a hundred times. */
export async function directoryBomb(directories: number): Promise<Uint8Array<ArrayBuffer>> {
  const tags = [
    [256, 3, 1, 1],
    [257, 3, 1, 1],
    [258, 3, 1, 8],
    [259, 3, 1, 1],
    [262, 3, 1, 1],
    [273, 4, 1, 8],
    [277, 3, 1, 1],
    [278, 3, 1, 1],
    [279, 4, 1, 1],
    ...Array.from({ length: 100 }, (_, i) => [40_000 + i, 1, 1024 * 1024, 8]),
  ];
  const length = 2 + 12 * tags.length + 4;
  const small = 2 + 12 * 9 + 4;
  const file = Buffer.alloc(8 + length + directories * small + 1024 * 1024);
  file.write("II*\0", "latin1");
  file.writeUInt32LE(8, 4);
  let at = 8;
  for (let index = 0; index <= directories; index++) {
    const own = index === 0 ? tags : tags.slice(0, 9);
    file.writeUInt16LE(own.length, at);
    for (const [row, [tag = 0, type = 0, count = 0, value = 0]] of own.entries()) {
      const entry = at + 2 + 12 * row;
      file.writeUInt16LE(tag, entry);
      file.writeUInt16LE(type, entry + 2);
      file.writeUInt32LE(count, entry + 4);
      file.writeUInt32LE(value, entry + 8);
    }
    const next = at + 2 + 12 * own.length + 4;
    file.writeUInt32LE(index === directories ? 0 : next, next - 4);
    at = next;
  }
  return copy(file);
}
