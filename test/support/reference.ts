/** Reads test/fixtures/resize.json, which reference/resize.py wrote with Pillow. */

import { readFileSync } from "node:fs";
import * as z from "zod";
import type { RgbImage } from "../../backend/picture/resample.ts";

const Size = z.tuple([z.number(), z.number()]);

export const resizeReference = z
  .object({
    raw: z.array(z.object({ from: Size, to: Size, filter: z.string(), rgb: z.string() })),
    jpeg: z.array(z.object({ name: z.string(), file: z.string(), to: z.number(), rgb: z.string() })),
  })
  .parse(JSON.parse(readFileSync(new URL("../fixtures/resize.json", import.meta.url), "utf8")));

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text, "base64"));
}

/** The picture that the script's `noise` makes. */
export function noisePicture(width: number, height: number): RgbImage {
  let state = width * 1000 + height;
  const data = Uint8Array.from({ length: width * height * 3 }, () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state >>> 24;
  });
  return { data, width, height };
}
