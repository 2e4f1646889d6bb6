/** The bundle: what `model:build` writes and the engines read. The one place where both meet. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";

export const GRAPH_FILE = "model.onnx";
export const VOCABULARY_FILE = "vocab.txt";
export const MANIFEST_FILE = "bundle.json";

export const Dtype = z.enum(["fp32", "fp16", "int8"]);
export type Dtype = z.infer<typeof Dtype>;

const Source = z.object({
  id: z.string().meta({ description: "Repository id or folder name." }),
  sha256: z.string().meta({ description: "Of the weight files." }),
});

/** bundle.json */
export const BundleManifest = z.object({
  format: z.literal(2),
  id: z.string(),
  revision: z.string().meta({ description: "Hash of everything that can change a caption." }),
  architecture: z.literal("blip"),
  dtype: Dtype,
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
});
export type BundleManifest = z.infer<typeof BundleManifest>;

/** A bundle on disk, opened. */
export interface Bundle {
  readonly manifest: BundleManifest;
  readonly graphPath: string;
  readonly vocabularyPath: string;
}

/** The folder is not a bundle, or one that this version does not read. */
export class BundleError extends Error {
  override readonly name = "BundleError";
}

/** Opens the bundle in `folder`; reads only its manifest. @throws BundleError with what to do */
export async function openBundle(folder: string): Promise<Bundle> {
  const path = join(folder, MANIFEST_FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new BundleError(
      `No bundle in ${folder}: ${MANIFEST_FILE} cannot be read. Make one with 'npm run model:build'.`,
      {
        cause,
      },
    );
  }
  const parsed = BundleManifest.safeParse(JSON.parse(text));
  if (!parsed.success) {
    throw new BundleError(
      `${path} is not a bundle this version reads; build it again with 'npm run model:build'.\n${z.prettifyError(parsed.error)}`,
    );
  }
  return {
    manifest: parsed.data,
    graphPath: join(folder, GRAPH_FILE),
    vocabularyPath: join(folder, VOCABULARY_FILE),
  };
}
