import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { pngChunk } from "../../../backend/picture/blank-picture.ts";
import { decodePicture } from "../../../backend/picture/decode.ts";
import { inspectPicture } from "../../../backend/picture/inspect.ts";
import {
  animationBomb,
  commentBomb,
  directoryBomb,
  pngBomb,
  pngWith,
  scanBomb,
  textBomb,
} from "../../support/bombs.ts";
import { acceptedPictures, jpegPicture, noise } from "../../support/pictures.ts";

const MIB = 1024 * 1024;
const LIMITS = { maxPixels: 100_000_000, maxDecodeBytes: 448 * MIB, decodeTimeoutSeconds: 10 };
const FORMAT = { size: 16, filter: "bicubic" } as const;

function inspected(bytes: Uint8Array<ArrayBuffer>) {
  const picture = inspectPicture(bytes, LIMITS);
  if (!picture.ok) throw new Error(picture.failure.detail);
  return picture.value;
}

const codeOf = (bytes: Uint8Array<ArrayBuffer>) => {
  const picture = inspectPicture(bytes, LIMITS);
  return picture.ok ? "accepted" : picture.failure.code;
};

/** What a file's pixels are if the decoder sees all of it. */
async function decodeWhole(bytes: Uint8Array<ArrayBuffer>) {
  return decodePicture({ ...inspected(bytes), bytes }, FORMAT, LIMITS);
}

describe("what the decoder sees of a file has the pixels of the file", async () => {
  test.each(await acceptedPictures())("$name", async ({ bytes }) => {
    const picture = inspected(bytes);
    const { width = 0, height = 0 } = await sharp(bytes).metadata();
    expect([picture.width, picture.height]).toEqual([width, height]);
    expect(await decodePicture(picture, FORMAT, LIMITS)).toEqual(await decodeWhole(bytes));
    expect(picture.bytes.length).toBeLessThanOrEqual(bytes.length + 1);
  });
});

describe("what is left out", () => {
  test("compressed text of a PNG", () => {
    const bomb = textBomb();
    expect(inspected(bomb).bytes.length).toBeLessThan(200);
    expect(inspected(bomb).decodeBytes).toBeLessThan(MIB);
  });

  test("a harmless PNG is passed on as it is, without a copy", () => {
    const png = pngBomb(12, 12);
    expect(inspected(png).bytes).toBe(png);
  });

  test("a colour profile that inflates to more than any real one; a real one stays", async () => {
    const name = Buffer.from("p\0\0", "latin1");
    const bomb = pngWith(pngBomb(12, 12), [
      ["iCCP", Buffer.concat([name, deflateSync(Buffer.alloc(9 * MIB))])],
    ]);
    expect(Buffer.from(inspected(bomb).bytes).includes("iCCP")).toBe(false);
    const p3 = Uint8Array.from(await sharp(pngBomb(12, 12)).withIccProfile("p3").png().toBuffer());
    expect(Buffer.from(inspected(p3).bytes).includes("iCCP")).toBe(true);
    const incompressible = deflateSync(Buffer.alloc(3 * MIB), { level: 0 });
    const scanners = pngWith(pngBomb(12, 12), [["iCCP", Buffer.concat([name, incompressible])]]);
    expect(inspected(scanners).bytes).toBe(scanners);
  });

  test("every colour profile but the first, which alone is inflated", async () => {
    const p3 = Buffer.from(await sharp(pngBomb(12, 12)).withIccProfile("p3").png().toBuffer());
    const at = p3.indexOf("iCCP") - 4;
    const profile = p3.subarray(at + 8, at + 8 + p3.readUInt32BE(at));
    const broken = Buffer.from("p\0\0not zlib", "latin1");
    const has = (contents: readonly Buffer[]) => {
      const png = pngWith(
        pngBomb(12, 12),
        contents.map((content) => ["iCCP", content]),
      );
      return Buffer.from(inspected(png).bytes).includes("iCCP");
    };
    expect(has([profile, broken])).toBe(true);
    expect(has([broken, profile])).toBe(false);
  });

  test("an orientation behind the pixels is moved in front of them", async () => {
    const oriented = await sharp(pngBomb(12, 24)).withMetadata({ orientation: 6 }).png().toBuffer();
    const at = oriented.indexOf("eXIf") - 4;
    const chunk = oriented.subarray(at, at + 12 + oriented.readUInt32BE(at));
    const without = Buffer.concat([oriented.subarray(0, at), oriented.subarray(at + chunk.length)]);
    const end = without.length - 12;
    const behind = Uint8Array.from(Buffer.concat([without.subarray(0, end), chunk, without.subarray(end)]));
    const { autoOrient } = await sharp(inspected(behind).bytes).metadata();
    expect(autoOrient).toEqual({ width: 24, height: 12 });
  });

  test.each(["webp", "gif", "apng"] as const)("all frames but the first, of 90,000: %s", async (format) => {
    const bomb = animationBomb(format, 90_000);
    expect(bomb.length).toBeGreaterThan(MIB);
    expect(inspected(bomb).bytes.length).toBeLessThan(300);
    expect((await decodePicture(inspected(bomb), FORMAT, LIMITS)).ok).toBe(true);
  });

  test("what follows a picture in its file", async () => {
    for (const { name, bytes } of await acceptedPictures()) {
      const followed = Uint8Array.from([...bytes, ...Buffer.from("and then some, longer than a header")]);
      expect((await decodePicture(inspected(followed), FORMAT, LIMITS)).ok, name).toBe(true);
    }
  });

  test("comments and applications' segments of a JPEG", async () => {
    const jpeg = await jpegPicture(3);
    const bomb = commentBomb(jpeg, 1_000_000);
    const { bytes } = inspected(bomb);
    expect(bytes.length).toBe(jpeg.length);
    expect(await decodePicture(inspected(bomb), FORMAT, LIMITS)).toEqual(await decodeWhole(jpeg));
  });

  test("Adobe segments of a JPEG but the first and the last before its pixels, which says how colours are coded", async () => {
    const jpeg = await jpegPicture(3);
    // With a JFIF segment no other would be asked.
    expect(Buffer.from(jpeg).includes("JFIF")).toBe(false);
    const adobe = (transform: number) =>
      Buffer.concat([
        Buffer.of(0xff, 0xee, 0, 14),
        Buffer.from("Adobe"),
        Buffer.of(0, 100, 0, 0, 0, 0, transform),
      ]);
    const short = Buffer.concat([Buffer.of(0xff, 0xee, 0, 7), Buffer.from("Adobe")]);
    const jpegWith = (...segments: readonly Buffer[]) =>
      Uint8Array.from(Buffer.concat([Buffer.of(0xff, 0xd8), ...segments, jpeg.subarray(2)]));
    const decoded = async (bytes: Uint8Array<ArrayBuffer>) => decodePicture(inspected(bytes), FORMAT, LIMITS);
    const [ofRgb, ofLuma] = [await decoded(jpegWith(adobe(0))), await decoded(jpegWith(adobe(1)))];
    expect(ofRgb).not.toEqual(ofLuma);
    expect(await decoded(jpegWith(adobe(0), adobe(1)))).toEqual(ofLuma);
    expect(await decoded(jpegWith(adobe(1), adobe(0), short))).toEqual(ofRgb);
    const many = jpegWith(...Array.from({ length: 10_000 }, (_, i) => adobe(i % 2)));
    expect(inspected(many).bytes.length).toBeLessThan(jpeg.length + 100);
    expect(await decoded(many)).toEqual(ofLuma);
  });

  test("all directories of a TIFF but the first, and tags that name the same megabytes", async () => {
    const bomb = await directoryBomb(50_000);
    const metadata = await sharp(inspected(bomb).bytes).metadata();
    expect(metadata.pages ?? 1).toBe(1);
    expect(Buffer.from(inspected(bomb).bytes).readUInt16LE(8)).toBeLessThan(30);
  });
});

describe("what is refused by its container alone", () => {
  test("a JPEG of more than a hundred scans", async () => {
    expect(codeOf(await scanBomb({ size: 64, scans: 100 }))).toBe("accepted");
    expect(codeOf(await scanBomb({ size: 64, scans: 101 }))).toBe("too-costly");
  });

  test("a JPEG of several scans is expected to be held whole, whether or not it is progressive", async () => {
    const progressive = await scanBomb({ size: 64, scans: 10 });
    const sequential = progressive.slice();
    sequential[Buffer.from(progressive).indexOf(Buffer.of(0xff, 0xc2)) + 1] = 0xc0;
    expect(inspected(sequential).decodeBytes).toBe(inspected(progressive).decodeBytes);
  });

  test("more pixels than this kind of file can be decoded to within the memory limit", () => {
    const interlaced = Buffer.alloc(13);
    interlaced.writeUInt32BE(9_000, 0);
    interlaced.writeUInt32BE(9_000, 4);
    interlaced.set([16, 6, 0, 0, 1], 8);
    const png = Buffer.from(pngBomb(1, 1));
    const bytes = Uint8Array.from(
      Buffer.concat([png.subarray(0, 8), pngChunk("IHDR", interlaced), png.subarray(33)]),
    );
    const picture = inspectPicture(bytes, LIMITS);
    expect(picture).toMatchObject({ ok: false, failure: { code: "too-many-pixels" } });
    if (!picture.ok) expect(picture.failure.detail).toContain("PNG");
  });

  test("a side longer than 65,535 pixels, however few they are in all", () => {
    expect(codeOf(pngBomb(65_535, 2))).toBe("accepted");
    expect(codeOf(pngBomb(65_536, 2))).toBe("too-many-pixels");
    expect(codeOf(pngBomb(2, 65_536))).toBe("too-many-pixels");
  });

  test("a TIFF with more samples per pixel than its tag can hold", async () => {
    const create = { width: 8, height: 8, channels: 3, background: "red" } as const;
    const tiff = Uint8Array.from(await sharp({ create }).tiff().toBuffer());
    const at = Buffer.from(tiff).indexOf(Buffer.of(0x15, 0x01, 3, 0));
    tiff.set([4, 0, 1, 0, 0, 0, 0, 0, 0, 0x10], at + 2);
    expect(codeOf(tiff)).toBe("unreadable-image");
  });

  test("a TIFF with transparency, of a size that would be decoded without it", async () => {
    const large = async (channels: 3 | 4) => {
      const create = { width: 64, height: 64, channels, background: "red" };
      const file = Buffer.from(await sharp({ create }).tiff({ compression: "deflate" }).toBuffer());
      const directory = file.readUInt32LE(4);
      for (let entry = 0; entry < file.readUInt16LE(directory); entry++) {
        const at = directory + 2 + 12 * entry;
        if ([256, 257].includes(file.readUInt16LE(at))) file.writeUInt16LE(7_000, at + 8);
      }
      return Uint8Array.from(file);
    };
    expect(codeOf(await large(3))).toBe("accepted");
    expect(codeOf(await large(4))).toBe("too-many-pixels");
  });

  test("an AVIF whose tables have thousands of rows, or which names its bytes again and again", async () => {
    const avif = Buffer.from(
      await sharp({ create: { width: 64, height: 64, channels: 3, background: "red" } })
        .avif()
        .toBuffer(),
    );
    const locations = avif.indexOf("iloc") + 4;
    const [version, sizes] = [avif[locations], avif.readUInt16BE(locations + 4)];
    expect(version).toBe(0);
    const many = Uint8Array.from(avif);
    new DataView(many.buffer).setUint16(locations + 6, 5_000);
    expect(codeOf(many)).toBe("too-costly");
    const extents = locations + 8 + 2 + 2 + ((sizes >> 4) & 15);
    const [first, extentBytes] = [extents + 2, (sizes >> 12) + ((sizes >> 8) & 15)];
    const whole = Buffer.from(avif.subarray(first, first + extentBytes));
    whole.writeUInt32BE(avif.length, sizes >> 12);
    const again = Buffer.concat([avif.subarray(0, first), ...Array(9).fill(whole), avif.subarray(first)]);
    again.writeUInt16BE(10, extents);
    for (const type of ["iloc", "meta"]) {
      const sizeAt = again.indexOf(type) - 4;
      again.writeUInt32BE(again.readUInt32BE(sizeAt) + 9 * extentBytes, sizeAt);
    }
    expect(codeOf(Uint8Array.from(again))).toBe("too-costly");
  });

  test.each(["jpeg", "png", "webp", "avif", "tiff"] as const)(
    "a %s that breaks off early, as such",
    async (format) => {
      const noisy = noise({ width: 80, height: 60, mean: 128, sigma: 30 });
      const file = Uint8Array.from(
        await noisy
          .withExif({ IFD0: { ImageDescription: "x".repeat(600) } })
          .toFormat(format, format === "jpeg" ? { progressive: true } : {})
          .toBuffer(),
      );
      expect(inspectPicture(file.slice(0, 500), LIMITS)).toMatchObject({
        failure: { code: "unreadable-image", detail: "The picture breaks off before its end." },
      });
    },
  );

  test("a PNG as Xcode packs it for iOS", () => {
    const file = Buffer.concat([
      Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
      pngChunk("CgBI", Buffer.of(0x50, 0, 0x20, 6)),
      pngBomb(16, 16).subarray(8),
    ]);
    expect(inspectPicture(Uint8Array.from(file), LIMITS)).toMatchObject({
      failure: { code: "unsupported-image", detail: expect.stringContaining("CgBI") },
    });
  });

  test("every prefix and every flipped byte of a small file of each kind has an answer", async () => {
    for (const { bytes } of await acceptedPictures()) {
      const step = Math.ceil(bytes.length / 300);
      for (let at = 0; at < bytes.length; at += step) {
        inspectPicture(bytes.slice(0, at), LIMITS);
        for (const value of [0x00, 0xff]) {
          const flipped = bytes.slice();
          flipped[at] = value;
          inspectPicture(flipped, LIMITS);
        }
      }
    }
  });
});
