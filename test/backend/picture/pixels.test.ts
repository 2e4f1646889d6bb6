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

describe("what cannot be read rightly is refused by name", () => {
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
    const decoded = await decode(file);
    expect(decoded).toMatchObject({ ok: false, failure: { code: "unsupported-image" } });
    expect(decoded.ok ? "" : decoded.failure.detail).toContain(says);
  });
});
