/** The bundle, written by `model:build` and read by the engines. The only place where the two meet. */

import { join } from "node:path";
import * as z from "zod";
import { Review } from "../../shared/schema.ts";
import { shellWord } from "../../shared/shell-word.ts";
import { fileExists } from "./file-exists.ts";
import { readJsonFile, writeJsonFile } from "./json-file.ts";

export const VOCABULARY_FILE = "vocab.txt";
export const MANIFEST_FILE = "bundle.json";
/** Records which precision is the fastest on the machine that measured it. */
export const DTYPE_FILE = "fastest-dtype.json";

/**
 * Version of the code that writes graphs. Graphs of an older version still caption, but more slowly. In int8 a word
 * may differ, because the rounding has changed since.
 */
export const GRAPH_VERSION = 3;

export const Dtype = z.enum(["fp32", "fp16", "int8"]);
export type Dtype = z.infer<typeof Dtype>;

/** What runs the graph. Each device is fast in some precisions and cannot run others. */
export const Device = z.enum(["cpu", "cuda", "tensorrt", "webgpu"]);
export type Device = z.infer<typeof Device>;

/** Best first. The operators for 8-bit products exist on the CPU alone. */
export const DTYPES_BY_DEVICE: Readonly<Record<Device, readonly Dtype[]>> = {
  cpu: ["int8", "fp32", "fp16"],
  cuda: ["fp16", "fp32"],
  tensorrt: ["fp16", "fp32"],
  webgpu: ["fp16", "fp32"],
};

/** One graph of a bundle. */
const Variant = z.object({
  dtype: Dtype,
  graph: z.string().regex(/^[\w.-]+$/, "expected a file beside bundle.json"),
  revision: z.string().meta({ description: "Hash of everything that can change a caption." }),
});
export type Variant = z.infer<typeof Variant>;

const Source = z.object({
  id: z.string().meta({ description: "Repository id or folder name." }),
  sha256: z.string().meta({ description: "Of the weight files." }),
});

/** bundle.json */
export const BundleManifest = z.object({
  format: z.literal(2),
  graph_version: z.number().int().default(1).meta({ description: "Of the code that wrote the graphs." }),
  id: z.string(),
  architecture: z.literal("blip"),
  ...Variant.shape,
  graph: Variant.shape.graph.default("model.onnx"),
  variants: z
    .array(Variant)
    .default([])
    .meta({ description: "The same model in other precisions; the one above is model.onnx." }),
  image: z.object({
    size: z.number().int().positive(),
    mean: z.tuple([z.number(), z.number(), z.number()]),
    std: z.tuple([z.number(), z.number(), z.number()]),
    resampling: z.enum(["nearest", "bilinear", "bicubic", "lanczos"]),
  }),
  tokens: z.object({
    bos: z.number().int(),
    eos: z.number().int(),
    pad: z.number().int(),
    lower_case: z.boolean(),
    max_positions: z.number().int(),
  }),
  generation: z.object({ max_new_tokens: z.number().int(), num_beams: z.number().int() }),
  base: Source,
  adapter: Source.nullable(),
  picture_head: z.boolean().default(false).meta({
    description: "Whether the graph says how well such a picture can be described, before a word is said.",
  }),
  review: z
    .nullable(Review)
    .default(null)
    .meta({ description: "Which captions a person should look at; no part of the revision." }),
});
export type BundleManifest = z.infer<typeof BundleManifest>;

/**
 * A bundle on disk, opened in one precision. Its manifest's `dtype` and `revision` are those of the graph in that
 * precision.
 */
export interface Bundle {
  readonly manifest: BundleManifest;
  readonly graphPath: string;
  readonly vocabularyPath: string;
}

/** The folder is not a bundle, or is one that this version cannot read. */
export class BundleError extends Error {
  override readonly name = "BundleError";
}

export interface OpenOptions {
  /** Where the graph will run; the CPU by default. */
  readonly device?: Device;
  /** Opens this precision only; by default the best one for the device. */
  readonly dtype?: Dtype | undefined;
}

/** Opens the bundle in `folder`, reading only its manifest. @throws BundleError with what to do */
export async function openBundle(
  folder: string,
  { device = "cpu", dtype }: OpenOptions = {},
): Promise<Bundle> {
  const manifest = await readManifest(folder);
  const [variant] = heldVariants(manifest, dtype ? [dtype] : DTYPES_BY_DEVICE[device]);
  if (variant === undefined) {
    throw new BundleError(
      `${folder} holds ${variantsOf(manifest).map((held) => held.dtype)}, but ${dtype ?? DTYPES_BY_DEVICE[device].join(" or ")} is needed on ${device}. Build it with 'npm run model:build -- --dtype ${dtype ?? DTYPES_BY_DEVICE[device][0]}'.`,
    );
  }
  return inVariant(folder, manifest, variant);
}

/**
 * Opens the bundle in `folder` in each precision that `device` can run, in the order of `DTYPES_BY_DEVICE`.
 * @throws BundleError with what to do
 */
export async function openVariants(folder: string, device: Device): Promise<Bundle[]> {
  const manifest = await readManifest(folder);
  return heldVariants(manifest, DTYPES_BY_DEVICE[device]).map((variant) =>
    inVariant(folder, manifest, variant),
  );
}

function inVariant(folder: string, manifest: BundleManifest, variant: Variant): Bundle {
  return {
    manifest: { ...manifest, ...variant },
    graphPath: join(folder, variant.graph),
    vocabularyPath: join(folder, VOCABULARY_FILE),
  };
}

/** Gives the bundle in `folder` another review threshold, without changing graphs or revisions. @throws BundleError */
export async function writeReview(folder: string, review: Review | null): Promise<void> {
  const manifest: BundleManifest = { ...(await readManifest(folder)), review };
  await writeJsonFile(join(folder, MANIFEST_FILE), manifest);
}

async function readManifest(folder: string): Promise<BundleManifest> {
  const path = join(folder, MANIFEST_FILE);
  if (!(await fileExists(path))) {
    throw new BundleError(
      `No bundle in ${folder}: ${MANIFEST_FILE} cannot be read. Make one: npm run -s model:build -- --base ID_OR_DIR --out ${shellWord(folder)}`,
    );
  }
  const { format } = await readJsonFile(path, z.looseObject({ format: z.unknown() }), BundleError);
  if (format !== BundleManifest.shape.format.value) {
    throw new BundleError(
      `${path} is not a bundle this version reads; build it again with 'npm run model:build'.`,
    );
  }
  return readJsonFile(path, BundleManifest, BundleError);
}

/** Every graph of a bundle, `model.onnx` first. */
export function variantsOf({ dtype, graph, revision, variants }: BundleManifest): Variant[] {
  return [{ dtype, graph, revision }, ...variants];
}

function heldVariants(manifest: BundleManifest, wanted: readonly Dtype[]): Variant[] {
  const held = variantsOf(manifest);
  return wanted.flatMap((dtype) => held.filter((variant) => variant.dtype === dtype));
}
