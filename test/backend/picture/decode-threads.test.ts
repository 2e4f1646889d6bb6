import sharp from "sharp";
import { expect, onTestFinished, test } from "vitest";
import { decodePicture, type InspectedPicture, inspectPicture } from "../../../backend/picture/decode.ts";
import { createDecodeThreads } from "../../../backend/picture/decode-threads.ts";
import { jpegPicture } from "../../support/pictures.ts";

const format = { size: 16, filter: "bicubic" } as const;
const limits = { maxPixels: 1_000_000, decodeTimeoutSeconds: 10 };

function start(threads: number) {
  const pool = createDecodeThreads({ threads, format, limits });
  onTestFinished(() => pool.close());
  return pool;
}

async function inspected(bytes: Uint8Array): Promise<InspectedPicture> {
  const picture = await inspectPicture(bytes, limits);
  if (!picture.ok) throw new Error(picture.failure.code);
  return picture.value;
}

test("gives what decodePicture gives, pictures and failures alike, again and again", async () => {
  const pool = start(2);
  const whole = await jpegPicture(77);
  for (const bytes of [whole, whole.slice(0, -10), whole]) {
    const picture = await inspected(bytes);
    const [one, two] = await Promise.all([pool.decode(picture), pool.decode(picture)]);
    expect(one).toEqual(await decodePicture(picture, format, limits));
    expect(two).toEqual(one);
  }
});

test("more pictures at once than threads is the caller's bug", async () => {
  const pool = start(1);
  const picture = await inspected(await jpegPicture(1));
  const first = pool.decode(picture);
  await expect(pool.decode(picture)).rejects.toThrow("This is a bug");
  expect((await first).ok).toBe(true);
});

test("a thread that fails by a bug fails one picture, not the next", async () => {
  const pool = start(1);
  const nonsense = { bytes: "not bytes", width: 1, height: 1 } as unknown as InspectedPicture;
  const failed = await pool.decode(nonsense).catch((error: unknown) => error);
  expect(failed).toBeDefined();
  expect((await pool.decode(await inspected(await jpegPicture(1)))).ok).toBe(true);
});

test("a thread that starts leaves libvips' settings alone: decoding elsewhere goes on", async () => {
  const decoder = { operation: ["VipsForeignLoadJpegBuffer"] };
  const picture = await inspected(await jpegPicture(1));
  const png = await sharp(picture.bytes).png().toBuffer();
  sharp.block(decoder);
  onTestFinished(() => sharp.unblock(decoder));
  expect((await start(1).decode({ bytes: png, width: 32, height: 24 })).ok).toBe(true);
  await expect(sharp(picture.bytes).metadata()).rejects.toThrow();
});
