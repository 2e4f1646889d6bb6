/** The tiny BLIPs of test/fixtures and what transformers and peft computed on them (reference/blip.py, hybrid.py). */

import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import * as z from "zod";
import { type Bundle, type Device, type Dtype, openBundle } from "../../backend/bundle/bundle.ts";
import { buildBundle } from "../../backend/model/build.ts";
import type { ModelFolder } from "../../backend/model/weights/model-folder.ts";

const FOLDER = fileURLToPath(new URL("../fixtures/tiny-blip", import.meta.url));
export const TINY_BASE = { id: "tests/tiny-blip", folder: join(FOLDER, "base") };
export const TINY_ADAPTER = { id: "tests/tiny-adapter", folder: join(FOLDER, "adapter") };

const HYBRID_FOLDER = fileURLToPath(new URL("../fixtures/tiny-hybrid", import.meta.url));
/** A BLIP behind a convolutional stem. */
export const TINY_HYBRID = { id: "tests/tiny-hybrid", folder: join(HYBRID_FOLDER, "base") };

const Expectations = z.object({
  pixels: z.array(z.number()).transform((values) => Uint8Array.from(values)),
  shape: z.tuple([z.number(), z.literal(3), z.number(), z.number()]),
  encoder: z.array(z.number()),
  first_logits: z.array(z.number()),
  token_ids: z.array(z.array(z.number())),
  log_probabilities: z.array(z.array(z.number())),
  prompt_ids: z.array(z.number()),
  beam_token_ids: z.record(z.string(), z.array(z.array(z.number()))),
  prompted_beam_token_ids: z.array(z.array(z.number())),
  prompted_token_ids: z.array(z.array(z.number())),
});

const Reference = z.object({
  base: Expectations,
  larger: Expectations,
  adapted: Expectations,
  merged: z.object({ name: z.string(), values: z.array(z.number()) }),
});

export function readTinyReference(): z.infer<typeof Reference> {
  return Reference.parse(JSON.parse(readFileSync(join(FOLDER, "reference.json"), "utf8")));
}

const HybridReference = z.object({
  base: Expectations,
  larger: Expectations,
  stem: z.object({ shape: z.array(z.number()), every_8th: z.array(z.number()) }),
});

export function readHybridReference(): z.infer<typeof HybridReference> {
  return HybridReference.parse(JSON.parse(readFileSync(join(HYBRID_FOLDER, "reference.json"), "utf8")));
}

/** A folder of its own, gone when the test is. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "blip-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface TinyBundleOptions {
  readonly base?: ModelFolder;
  readonly adapted?: boolean;
  readonly imageSize?: number;
  readonly dtype?: Dtype;
  /** Opened as for this device. */
  readonly device?: Device;
}

/** The tiny BLIP as a bundle, gone when the test is. */
export async function tinyBundle(options: TinyBundleOptions = {}): Promise<Bundle> {
  const out = join(await temporaryFolder(), "bundle");
  await buildBundle({
    base: options.base ?? TINY_BASE,
    ...(options.adapted ? { adapter: TINY_ADAPTER } : {}),
    ...(options.imageSize ? { imageSize: options.imageSize } : {}),
    dtypes: [options.dtype ?? "fp32"],
    out,
  });
  return openBundle(out, { device: options.device ?? "cpu" });
}

/** Largest absolute difference of two arrays of the same length. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return Array.from(a).reduce((worst, value, i) => Math.max(worst, Math.abs(value - (b[i] as number))), 0);
}
