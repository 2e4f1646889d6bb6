/**
 * Which of a bundle's precisions is the fastest on this machine: it depends on the processor. Measured once for a bundle and a
 * machine, and kept beside the bundle.
 */

import { fork } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import {
  type Bundle,
  BundleError,
  type Device,
  DTYPE_FILE,
  Dtype,
  openBundle,
  openVariants,
} from "../bundle/bundle.ts";
import { readJsonFile, writeJsonFile } from "../bundle/json-file.ts";
import type { OnnxEngineOptions } from "./onnx/engine.ts";

/** A precision takes the place of a better known one only if it is faster by this: noise shall choose no revision. */
const CLEARLY_FASTER = 0.9;

/** What is kept beside the bundle. */
const Measured = z.object({
  /** Processor, device, threads and ONNX Runtime; of any others it says nothing. */
  machine: z.string(),
  revisions: z.array(z.string()),
  dtype: Dtype,
  /** Of each precision that was measured. */
  ms_a_picture: z.partialRecord(Dtype, z.number()),
});
export type Measured = z.infer<typeof Measured>;

export interface MeasuredBundle {
  readonly bundle: Bundle;
  /** What it was chosen by; undefined where there was nothing to choose. */
  readonly measured?: Measured;
  /** Why it could not be kept beside the bundle, if so: it will be measured again. */
  readonly notKept?: string;
}

export interface MeasureOptions extends Pick<OnnxEngineOptions, "deviceId" | "threads"> {
  readonly device: Device;
}

/** Milliseconds a picture of one forward pass after another; shorter is better. */
export type Measure = (options: OnnxEngineOptions) => Promise<number>;

/**
 * Opens the bundle in `folder` in the precision that is the fastest here. Rejects as `openBundle` and `createOnnxEngine` do.
 *
 * @param measure in a process of its own by default, as sessions that come and go leave memory behind
 */
export async function openFastest(
  folder: string,
  here: MeasureOptions,
  measure: Measure = measureInChild,
): Promise<MeasuredBundle> {
  const { device, threads } = here;
  const variants = await openVariants(folder, device);
  if (variants.length < 2) return { bundle: await openBundle(folder, { device }) };
  const path = join(folder, DTYPE_FILE);
  const machine = machineName(device, threads);
  const revisions = variants.map(({ manifest }) => manifest.revision);
  // Whatever else lies there, an older version's or half a file, is worth no more than none.
  const kept = await readJsonFile(path, Measured, BundleError).catch(() => undefined);
  const isOfThis = kept?.machine === machine && String(kept.revisions) === String(revisions);
  const measured = isOfThis
    ? kept
    : await measureAll(variants, { machine, revisions }, (bundle) => measure({ bundle, ...here }));
  const bundle = await openBundle(folder, { device, dtype: measured.dtype });
  if (isOfThis) return { bundle, measured };
  try {
    await writeJsonFile(path, measured);
    return { bundle, measured };
  } catch (error) {
    return { bundle, measured, notKept: error instanceof Error ? error.message : "unknown" };
  }
}

/** One after the other, the best known first: beside each other they would measure each other. */
async function measureAll(
  variants: readonly Bundle[],
  key: Pick<Measured, "machine" | "revisions">,
  measure: (bundle: Bundle) => Promise<number>,
): Promise<Measured> {
  const ms_a_picture: Measured["ms_a_picture"] = {};
  let best: { readonly dtype: Dtype; readonly ms: number } | undefined;
  for (const variant of variants) {
    const { dtype } = variant.manifest;
    const ms = await measure(variant);
    ms_a_picture[dtype] = Math.round(ms * 100) / 100;
    if (best === undefined || ms < CLEARLY_FASTER * best.ms) best = { dtype, ms };
  }
  if (best === undefined) throw new Error("This is a bug: a bundle of no precision was measured.");
  return { ...key, dtype: best.dtype, ms_a_picture };
}

function machineName(device: Device, threads: number | undefined): string {
  const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json") as { version: string };
  const processor = cpus()[0]?.model ?? "unknown processor";
  return `${processor}, ${device}, ${threads} threads, ONNX Runtime ${version}`;
}

const ChildReply = z.union([z.object({ ms: z.number() }), z.object({ error: z.string() })]);

async function measureInChild(options: OnnxEngineOptions): Promise<number> {
  const child = fork(fileURLToPath(new URL("./measure-process.ts", import.meta.url)), {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  child.send(options);
  const [reply] = (await Promise.race([once(child, "message"), once(child, "exit")])) as [unknown];
  const parsed = ChildReply.safeParse(reply);
  if (!parsed.success) {
    throw new Error(
      `Measuring ${options.bundle.graphPath} ended with ${child.exitCode ?? child.signalCode}.`,
    );
  }
  if ("error" in parsed.data) throw new BundleError(parsed.data.error);
  return parsed.data.ms;
}
