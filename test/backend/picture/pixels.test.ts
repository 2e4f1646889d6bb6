import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { decodePicture } from "../../../backend/picture/decode.ts";
import { inspectPicture } from "../../../backend/picture/inspect.ts";

/** Made by reference/pixels.py: pictures of many kinds, and what Pillow and LittleCMS make of them. */
const FOLDER = fileURLToPath(new URL("../../fixtures/pixels/", import.meta.url));
const Expected = z.union([
  z.object({ rgb: z.array(z.number()), tolerance: z.number() }),
  z.object({ refused: z.string() }),
  z.object({ same: z.string() }),
]);
const reference = z
  .record(z.string(), Expected)
  .parse(JSON.parse(readFileSync(`${FOLDER}reference.json`, "utf8")));

const SIZE = 24;
const LIMITS = { maxPixels: 1_000_000, maxDecodeBytes: 2 ** 30, decodeTimeoutSeconds: 10 };
const read = (name: string) => new Uint8Array(readFileSync(FOLDER + name));

async function decode(bytes: Uint8Array<ArrayBuffer>) {
  const inspected = inspectPicture(bytes, LIMITS);
  return inspected.ok ? decodePicture(inspected.value, { size: SIZE, filter: "bicubic" }, LIMITS) : inspected;
}

/** Interleaved RGB, as the reference has it. */
async function pixels(bytes: Uint8Array<ArrayBuffer>): Promise<number[]> {
  const decoded = await decode(bytes);
  if (!decoded.ok) throw new Error(`${decoded.failure.code}: ${decoded.failure.detail}`);
  const plane = SIZE * SIZE;
  return Array.from(
    { length: 3 * plane },
    (_, i) => decoded.value[(i % 3) * plane + Math.floor(i / 3)] ?? -1,
  );
}

function worstDifference(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? 999))));
}

describe("pixels are what Pillow and LittleCMS make of them", () => {
  const cases = Object.entries(reference).flatMap(([name, expected]) =>
    "rgb" in expected ? [{ name, ...expected }] : [],
  );
  test.each(cases)("$name", async ({ name, rgb, tolerance }) => {
    expect(worstDifference(await pixels(read(name)), rgb)).toBeLessThanOrEqual(tolerance);
  });

  const deep = ["srgb", "display-p3", "adobe-rgb", "prophoto"].flatMap((profile) =>
    [10, 12].map((bits) => ({ profile, bits })),
  );
  test.each(deep)("AVIF of $bits bits in $profile", async ({ profile, bits }) => {
    const options = { bitdepth: bits as 10 | 12, lossless: true, chromaSubsampling: "4:4:4" };
    const file = await sharp(read(`16-bit-${profile}.png`))
      .keepIccProfile()
      .avif(options)
      .toBuffer();
    const expected = reference[`8-bit-${profile}.png`];
    if (expected === undefined || !("rgb" in expected)) throw new Error("no reference");
    expect(worstDifference(await pixels(Uint8Array.from(file)), expected.rgb)).toBeLessThanOrEqual(2);
  });

  const same = Object.entries(reference).flatMap(([name, expected]) =>
    "same" in expected ? [{ name, ...expected }] : [],
  );
  test.each(same)("$name has the pixels of $same", async ({ name, same: other }) => {
    expect(await pixels(read(name))).toEqual(await pixels(read(other)));
  });
});

test("a profile for L*a*b* is ignored for other colours, as by browsers and Pillow", async () => {
  const file = await sharp(read("16-bit.png")).jpeg({ chromaSubsampling: "4:4:4" }).toBuffer();
  const data = Buffer.concat([Buffer.from("ICC_PROFILE\0\x01\x01", "latin1"), labProfile()]);
  const segment = Buffer.concat([
    Buffer.of(0xff, 0xe2, (data.length + 2) >> 8, (data.length + 2) & 0xff),
    data,
  ]);
  const tagged = Buffer.concat([file.subarray(0, 2), segment, file.subarray(2)]);
  expect((await sharp(tagged).metadata()).icc?.length).toBe(labProfile().length);
  expect(await pixels(Uint8Array.from(tagged))).toEqual(await pixels(Uint8Array.from(file)));
});

/** Of L*a*b* as it is, by a table of 2 x 2 x 2 corners: ICC.1, sections 7.2 and 10.11. */
function labProfile(): Buffer {
  const straight = Array.from({ length: 3 * 256 }, (_, i) => i % 256);
  const corners = Array.from({ length: 8 }, (_, i) => [i & 4, i & 2, i & 1].map((bit) => (bit ? 255 : 0)));
  const matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1].flatMap((value) => [0, value, 0, 0]);
  const table = Buffer.from([...matrix, ...straight, ...corners.flat(), ...straight]);
  const profile = Buffer.concat([
    Buffer.alloc(144),
    Buffer.from("mft1\0\0\0\0\x03\x03\x02\0", "latin1"),
    table,
  ]);
  profile.writeUInt32BE(profile.length);
  profile.write("\x02\x40\0\0spacLab Lab ", 8, "latin1");
  profile.write("acsp", 36);
  profile.write("\0\0\xf6\xd6\0\x01\0\0\0\0\xd3\x2d", 68, "latin1");
  profile.write("\0\0\0\x01A2B0\0\0\0\x90", 128, "latin1");
  profile.writeUInt32BE(profile.length - 144, 140);
  return profile;
}

describe("pictures that cannot be read correctly are refused by name", () => {
  const refused = Object.entries(reference).flatMap(([name, expected]) =>
    "refused" in expected ? [{ name, says: expected.refused }] : [],
  );
  test.each(refused)("$name: $says", async ({ name, says }) => {
    const decoded = await decode(read(name));
    const code = says === "" ? "unreadable-image" : "unsupported-image";
    expect(decoded).toMatchObject({ ok: false, failure: { code } });
    expect(decoded.ok ? "" : decoded.failure.detail).toContain(says);
  });

  test.each([
    [0xc1, 12, "12 bits a sample"],
    [0xc3, 8, "Lossless JPEG"],
    [0xc9, 8, "arithmetic coding"],
    [0xf7, 8, "JPEG-LS"],
  ])("a JPEG with the frame %i of %i bits", async (frame, precision, says) => {
    const file = Uint8Array.from(await sharp(read("16-bit.png")).jpeg().toBuffer());
    const at = Buffer.from(file).indexOf(Buffer.of(0xff, 0xc0));
    file[at + 1] = frame;
    file[at + 4] = precision;
    await expectRefused(file, says);
  });

  test("a TIFF in grey whose transparency lies in a plane of its own", async () => {
    const plane = SIZE * SIZE;
    const layout = {
      258: [8, 8],
      262: [1],
      273: [200, 200 + plane],
      279: [plane, plane],
      284: [2],
      338: [2],
    };
    await expectRefused(tiffOfShorts({ ...layout, 277: [2] }), "planes of their own");
  });

  test("a TIFF whose pixels are not a whole number of bytes", async () => {
    const layout = { 258: [4, 4, 4], 262: [2], 273: [200], 279: [(SIZE * SIZE * 3) / 2] };
    await expectRefused(tiffOfShorts({ ...layout, 277: [3] }), "4 bits a sample");
  });
});

async function expectRefused(file: Uint8Array<ArrayBuffer>, says: string): Promise<void> {
  const decoded = await decode(file);
  expect(decoded).toMatchObject({ ok: false, failure: { code: "unsupported-image" } });
  expect(decoded.ok ? "" : decoded.failure.detail).toContain(says);
}

/** Without compression, its pixels from 200 on, all of one value; beside its size these tags. */
function tiffOfShorts(tags: Readonly<Record<number, readonly number[]>>): Uint8Array<ArrayBuffer> {
  const entries = Object.entries({ 256: [SIZE], 257: [SIZE], 259: [1], 278: [SIZE], ...tags });
  const file = Buffer.alloc(200 + 4 * SIZE * SIZE, 50);
  file.fill(0, 0, 200);
  let at = file.write("II*\0\x08\0\0\0", "latin1");
  at = file.writeUInt16LE(entries.length, at);
  let outside = at + 12 * entries.length + 4;
  for (const [tag, values] of entries) {
    file.writeUInt16LE(Number(tag), at);
    file.writeUInt16LE(3, at + 2);
    file.writeUInt32LE(values.length, at + 4);
    let valueAt = at + 8;
    if (values.length > 2) {
      file.writeUInt32LE(outside, valueAt);
      valueAt = outside;
      outside += 2 * values.length;
    }
    for (const value of values) valueAt = file.writeUInt16LE(value, valueAt);
    at += 12;
  }
  return Uint8Array.from(file);
}
