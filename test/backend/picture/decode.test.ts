import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { pngChunk } from "../../../backend/picture/blank-picture.ts";
import { decodePicture, type PixelFormat } from "../../../backend/picture/decode.ts";
import { inspectPicture } from "../../../backend/picture/inspect.ts";
import { resample } from "../../../backend/picture/resample.ts";
import { createRandom } from "../../../evaluation/random.ts";
import { acceptedPictures, noise, refusedPictures } from "../../support/pictures.ts";
import { fromBase64, resizeReference } from "../../support/reference.ts";

const LIMITS = { maxPixels: 100_000_000, maxDecodeBytes: 2 ** 30, decodeTimeoutSeconds: 10 };
const SQUARE: PixelFormat = { size: 16, filter: "bicubic" };

async function decode(bytes: Uint8Array<ArrayBuffer>, format = SQUARE, limits = LIMITS) {
  const inspected = inspectPicture(bytes, limits);
  return inspected.ok ? decodePicture(inspected.value, format, limits) : inspected;
}

async function pixels(bytes: Uint8Array<ArrayBuffer>, format = SQUARE): Promise<Uint8Array> {
  const decoded = await decode(bytes, format);
  if (!decoded.ok) throw new Error(`${decoded.failure.code}: ${decoded.failure.detail}`);
  return decoded.value;
}

/** The colour at a place of planes [3, 16, 16]. */
const at = (planes: Uint8Array, x: number, y: number) =>
  [0, 1, 2].map((c) => planes[c * 256 + y * 16 + x] ?? -1);

describe("accepted", async () => {
  test.each(await acceptedPictures())("$name", async ({ bytes, left, right, tolerance }) => {
    const planes = await pixels(bytes);
    expect(planes.length).toBe(3 * 16 * 16);
    for (const [x, colour] of [
      [2, left],
      [13, right],
    ] as const) {
      at(planes, x, 8).forEach((value, c) => {
        expect(Math.abs(value - (colour[c] ?? -1)), `${at(planes, x, 8)} at ${x}`).toBeLessThanOrEqual(
          tolerance,
        );
      });
    }
  });
});

describe("refused", async () => {
  test.each(await refusedPictures())("$name: $code", async ({ bytes, code, says }) => {
    const decoded = await decode(bytes);
    expect(decoded).toMatchObject({ ok: false, failure: { code } });
    if (says !== undefined && !decoded.ok) expect(decoded.failure.detail).toContain(says);
  });
});

test.each([
  ["gAMA", Uint8Array.of(0, 1, 0x86, 0xa0)],
  ["cHRM", new Uint8Array(32).fill(0x11)],
  ["cICP", Uint8Array.of(9, 16, 0, 1)],
])("a PNG whose colours are named by %s alone is taken for sRGB, as by Pillow", async (type, data) => {
  const plain = await noise({ width: 40, height: 30, mean: 128, sigma: 40 }).png().toBuffer();
  const headerEnd = 33;
  const named = [plain.subarray(0, headerEnd), pngChunk(type, Buffer.from(data)), plain.subarray(headerEnd)];
  expect(await pixels(new Uint8Array(Buffer.concat(named)))).toEqual(await pixels(new Uint8Array(plain)));
});

test.each(resizeReference.jpeg)(
  "a $name JPEG becomes the pixels that Pillow makes of it",
  async ({ file, to, rgb }) => {
    const planes = await pixels(fromBase64(file), { size: to, filter: "bicubic" });
    const expected = fromBase64(rgb);
    const interleaved = expected.map((_, i) => planes[(i % 3) * to * to + Math.floor(i / 3)] ?? -1);
    expect(interleaved).toEqual(expected);
  },
);

test("no decoder but those of the accepted formats can be reached", async () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
  await expect(sharp(Buffer.from(svg)).metadata()).rejects.toThrow("unsupported image format");
});

test("a huge picture is reduced before the exact resize and looks the same", async () => {
  const stripes = Buffer.alloc(3000 * 2000 * 3, 255);
  for (let i = 0; i < 3000 * 2000; i++) if (i % 3000 < 1500) stripes.fill(0, i * 3, i * 3 + 3);
  const file = await sharp(stripes, { raw: { width: 3000, height: 2000, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
  const planes = await pixels(file);
  expect(at(planes, 1, 8)).toEqual([0, 0, 0]);
  expect(at(planes, 14, 8)).toEqual([255, 255, 255]);
});

test("a huge picture that is long and narrow keeps the detail of its short side", async () => {
  const [width, height, size] = [60_000, 130, 64];
  const random = createRandom(1);
  const data = new Uint8Array(width * height * 3);
  const rowBytes = width * 3;
  for (let y = 0; y < height; y++) data.fill(random() * 256, y * rowBytes, (y + 1) * rowBytes);
  const file = await sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
  const planes = await pixels(new Uint8Array(file), { size, filter: "bicubic" });
  const exact = resample({ data, width, height }, { width: size, height: size, filter: "bicubic" });
  const off = Array.from({ length: size }, (_, y) =>
    Math.abs((planes[y * size] as number) - (exact.data[3 * y * size] as number)),
  );
  expect(Math.max(...off)).toBeLessThanOrEqual(10);
});

test("colours that coding has made lighter than their transparency allows are white, not black", async () => {
  const background = { r: 200, g: 200, b: 200, alpha: 100 / 255 };
  const file = await sharp({ create: { width: 16, height: 16, channels: 4, background } })
    .avif({ lossless: true })
    .toBuffer();
  const inspected = inspectPicture(new Uint8Array(file), LIMITS);
  if (!inspected.ok) throw new Error(inspected.failure.detail);
  const decoded = await decodePicture({ ...inspected.value, isPremultiplied: true }, SQUARE, LIMITS);
  expect(decoded.ok && at(decoded.value, 8, 8)).toEqual([255, 255, 255]);
});

test("an EXIF segment without content does not hide the one that says which side is up", async () => {
  const turned = await noise({ width: 60, height: 40, mean: 128, sigma: 40 })
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer();
  const empty = Buffer.from("\xff\xe1\x00\x08Exif\0\0", "latin1");
  const both = Buffer.concat([turned.subarray(0, 2), empty, turned.subarray(2)]);
  expect(await pixels(new Uint8Array(both))).toEqual(await pixels(new Uint8Array(turned)));
});

test("a picture that takes too long is cut off by name", async () => {
  const slow = await sharp({ create: { width: 9000, height: 9000, channels: 3, background: "red" } })
    .png({ progressive: true, compressionLevel: 1 })
    .toBuffer();
  const decoded = await decode(slow, SQUARE, { ...LIMITS, decodeTimeoutSeconds: 1 });
  // A fast machine may be done within the second; it may never fail in another way.
  if (!decoded.ok) expect(decoded.failure.code).toBe("decode-timeout");
});

describe("a PNG that ends early", async () => {
  const whole = Uint8Array.from(
    await sharp({ create: { width: 16, height: 16, channels: 3, background: "#123456" } })
      .png()
      .toBuffer(),
  );
  const endChunkBytes = 12;

  test.each([1, 4, 8, endChunkBytes])("by %i bytes behind its pixels is decoded", async (missing) => {
    expect(await pixels(whole.slice(0, -missing))).toEqual(await pixels(whole));
  });

  test("within its pixels is said to be incomplete", async () => {
    expect(await decode(whole.slice(0, -endChunkBytes - 10))).toMatchObject({
      ok: false,
      failure: { code: "unreadable-image", detail: "The picture's data is damaged or incomplete." },
    });
  });
});

describe("a PNG of which libpng ignores or refuses a part looks as in browsers and Pillow", () => {
  const png = (header: readonly number[], ...chunks: readonly Buffer[]) =>
    Uint8Array.from(
      Buffer.concat([
        Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
        pngChunk("IHDR", Buffer.from(header)),
        ...chunks,
        pngChunk("IEND", Buffer.alloc(0)),
      ]),
    );

  test("compressed pixels that look back further than they announce", async () => {
    const side = 64;
    const header = [0, 0, 0, side, 0, 0, 0, side, 8, 2, 0, 0, 0];
    const random = createRandom(1);
    // The same rows again: further back than the 256 bytes that the small window holds.
    const rows = Buffer.alloc(side * (1 + 3 * side)).map((_, i) =>
      i % (1 + 3 * side) === 0 ? 0 : 256 * random(),
    );
    rows.copyWithin(rows.length / 2, 0);
    const data = deflateSync(rows);
    const small = Buffer.concat([Buffer.of(0x08, 0x1d), data.subarray(2)]);
    const expected = await pixels(png(header, pngChunk("IDAT", data)));
    expect(await pixels(png(header, pngChunk("IDAT", small)))).toEqual(expected);
  });

  test("transparency for more colours than its palette has", async () => {
    const header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 3, 0, 0, 0];
    const palette = pngChunk("PLTE", Buffer.of(10, 20, 30));
    const data = pngChunk("IDAT", deflateSync(Buffer.of(0, 0)));
    const one = png(header, palette, pngChunk("tRNS", Buffer.of(0)), data);
    const many = png(header, palette, pngChunk("tRNS", Buffer.alloc(256)), data);
    expect(new Set(await pixels(many))).toEqual(new Set([255]));
    expect(await pixels(many)).toEqual(await pixels(one));
  });
});

describe("a GIF that ends early", async () => {
  const whole = Uint8Array.from(
    await noise({ width: 60, height: 40, mean: 128, sigma: 30 }).gif().toBuffer(),
  );

  test.each([1, 2])("by %i bytes behind its pixels is decoded", async (missing) => {
    expect(await pixels(whole.slice(0, -missing))).toEqual(await pixels(whole));
  });

  test("within a file of its full length is said to break off", async () => {
    expect(await decode(whole.slice().fill(0, whole.length / 2))).toMatchObject({
      ok: false,
      failure: { code: "unreadable-image", detail: "The picture breaks off before its end." },
    });
  });
});

test.each([
  ["on two sides", 16],
  ["on one side", 8],
])(
  "the part of a GIF's screen that its frame leaves bare %s is white, as in browsers",
  async (_name, height) => {
    const create = { width: 8, height: 8, channels: 3, background: "#ff0000" } as const;
    const file = Buffer.from(await sharp({ create }).gif().toBuffer());
    file.writeUInt16LE(16, 6);
    file.writeUInt16LE(height, 8);
    // No colour of it is transparent.
    file[file.indexOf(Buffer.of(0x21, 0xf9, 4)) + 3] = 0;
    const planes = await pixels(Uint8Array.from(file), { size: 16, filter: "nearest" });
    expect(at(planes, 2, 2)).toEqual([255, 0, 0]);
    expect(at(planes, 12, 2)).toEqual([255, 255, 255]);
    expect(at(planes, 12, 12)).toEqual([255, 255, 255]);
  },
);

test("a GIF whose frame reaches past its screen is decoded whole", async () => {
  const create = { width: 8, height: 8, channels: 3, background: "#ff0000" } as const;
  const file = Buffer.from(await sharp({ create }).gif().toBuffer());
  const frame = file.indexOf(Buffer.of(0x2c, 0, 0, 0, 0, 8, 0, 8, 0));
  file.writeUInt16LE(8, frame + 3);
  const planes = await pixels(Uint8Array.from(file), { size: 16, filter: "nearest" });
  expect(at(planes, 8, 12)).toEqual([255, 0, 0]);
});
