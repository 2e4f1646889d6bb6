/** Picture files made to exhaust a decoder, few bytes for what they cost. */

import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { pngChunk } from "../../backend/picture/blank-picture.ts";

const copy = (buffer: Uint8Array): Uint8Array<ArrayBuffer> => Uint8Array.from(buffer);

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
