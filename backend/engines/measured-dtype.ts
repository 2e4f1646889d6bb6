/**
 * Finds which of a bundle's precisions is the fastest on this machine, which depends on the processor. It is
 * measured once for each bundle and machine, and kept beside the bundle.
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
import { createJsonFile, readJsonFile, writeJsonFile } from "../bundle/json-file.ts";
import { checkRevision } from "../bundle/revision.ts";
import type { OnnxEngineOptions } from "./onnx/engine.ts";

/**
 * A precision replaces the usually better one only if it is faster by this factor, so that noise does not change
 * the revision.
 */
const CLEARLY_FASTER = 0.9;

/** The file that is kept beside the bundle. */
const Measured = z.object({
  /** Processor, device, threads and ONNX Runtime version. The measurement is ignored if any of them differs. */
  machine: z.string(),
  revisions: z.array(z.string()),
  dtype: Dtype,
  /** For each precision that was measured. */
  ms_a_picture: z.partialRecord(Dtype, z.number()),
});
export type Measured = z.infer<typeof Measured>;

/** What a measurement applies to. */
type Key = Pick<Measured, "machine" | "revisions">;

export interface MeasuredBundle {
  readonly bundle: Bundle;
  /** The measurement that it was chosen by; undefined if there was nothing to choose. */
  readonly measured?: Measured;
  /** Why the measurement could not be kept beside the bundle, in which case it will be repeated. */
  readonly notKept?: string;
}

export interface MeasureOptions extends Pick<OnnxEngineOptions, "deviceId" | "threads"> {
  readonly device: Device;
}

/** Milliseconds per picture, in consecutive forward passes; less is better. */
export type Measure = (options: OnnxEngineOptions) => Promise<number>;

/**
 * Opens the bundle in `folder` in the precision that is the fastest here. Rejects as `openBundle` and
 * `createOnnxEngine` do.
 *
 * @param measure by default runs in a process of its own, because sessions leave memory behind when they close
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
  const key = {
    machine: machineName(device, threads),
    revisions: variants.map(({ manifest }) => manifest.revision),
  };
  const kept = await readKept(path, key);
  const { measured, notKept } = kept
    ? { measured: kept }
    : await keep(path, await measureAll(variants, key, (bundle) => measure({ bundle, ...here })));
  const bundle = await openBundle(folder, { device, dtype: measured.dtype });
  return { bundle, measured, ...(notKept !== undefined && { notKept }) };
}

/** The measurement kept in `path`, if it is for this machine and bundle. */
async function readKept(path: string, { machine, revisions }: Key): Promise<Measured | undefined> {
  // Anything else in that file, such as an older version's format or half a file, counts as no measurement.
  const kept = await readJsonFile(path, Measured, BundleError).catch(() => undefined);
  return kept?.machine === machine && String(kept.revisions) === String(revisions) ? kept : undefined;
}

/**
 * Keeps `measured`, unless another process that started on the same bundle has kept its own first. Then that one
 * applies to both, because otherwise they would caption in different precisions.
 */
async function keep(
  path: string,
  measured: Measured,
): Promise<{ readonly measured: Measured; readonly notKept?: string }> {
  try {
    if (await createJsonFile(path, measured)) return { measured };
    const kept = await readKept(path, measured);
    if (kept === undefined) await writeJsonFile(path, measured);
    return { measured: kept ?? measured };
  } catch (error) {
    return { measured, notKept: error instanceof Error ? error.message : "unknown" };
  }
}

/** Measures one after the other, the usually best first: in parallel they would slow each other down. */
async function measureAll(
  variants: readonly Bundle[],
  key: Key,
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
  // For an incomplete copy the engine would only report its parser's error, not what to do.
  await checkRevision(options.bundle);
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
