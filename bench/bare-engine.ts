/** The engine alone, on pictures that are already decoded: the baseline for a server around it. */

import type { DecodingOptions, Engine } from "../backend/engines/engine.ts";
import { decodePicture } from "../backend/picture/decode.ts";
import { inspectPicture } from "../backend/picture/inspect.ts";

const LIMITS = { maxPixels: 10_000_000, maxDecodeBytes: 2 ** 30, decodeTimeoutSeconds: 60 };

export interface Work {
  readonly seconds: number;
  /** Milliseconds of each call. */
  readonly ms: readonly number[];
  readonly captions: number;
}

export const perSecond = ({ captions, seconds }: Work) => captions / seconds;

/** Runs forward passes of `batch` pictures, one after the other, until `count` are captioned. */
export async function runEngine(
  engine: Engine,
  pixels: readonly Uint8Array[],
  decoding: DecodingOptions,
  { count, batch }: { count: number; batch: number },
): Promise<Work> {
  const ms: number[] = [];
  const bytes = pixels[0]?.length ?? 0;
  // Reused, as the server reuses its batches: on a GPU, megabytes of new memory per pass take as long as a quarter
  // of the pass.
  const rows = new Uint8Array(batch * bytes);
  const startedAt = performance.now();
  for (let done = 0; done < count; done += batch) {
    const calledAt = performance.now();
    for (let row = 0; row < batch; row++) {
      rows.set(pixels[(done + row) % pixels.length] as Uint8Array, row * bytes);
    }
    await engine.generate(rows, batch, decoding);
    ms.push(performance.now() - calledAt);
  }
  return { seconds: (performance.now() - startedAt) / 1000, ms, captions: ms.length * batch };
}

/** Decodes a file to pixels as the engine takes them. */
export async function decode(
  file: Uint8Array<ArrayBuffer>,
  format: Parameters<typeof decodePicture>[1],
): Promise<Uint8Array> {
  const inspected = inspectPicture(file, LIMITS);
  if (!inspected.ok) throw new Error(inspected.failure.detail);
  const decoded = await decodePicture(inspected.value, format, LIMITS);
  if (!decoded.ok) throw new Error(decoded.failure.detail);
  return decoded.value;
}
