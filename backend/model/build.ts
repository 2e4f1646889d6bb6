/** From weights to a bundle: reads base and adapter, merges, writes the graph and what lies beside it. */

import { createHash } from "node:crypto";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import {
  type BundleManifest,
  type Dtype,
  MANIFEST_FILE,
  type Variant,
  VOCABULARY_FILE,
} from "../bundle/bundle.ts";
import { type BlipConfig, type Preprocessing, readBlipConfig, readPreprocessing } from "./blip/config.ts";
import { replaceBundleFolder } from "./bundle-folder.ts";
import { buildCaptionGraph } from "./caption-graph.ts";
import { type WriteProgress, writeModel } from "./onnx/onnx-writer.ts";
import { mergeAdapter, openAdapter } from "./weights/lora.ts";
import type { ModelFolder } from "./weights/model-folder.ts";
import { openWeightFolder, weightFolderHash } from "./weights/safetensors.ts";
import { WeightError } from "./weights/weights.ts";

/** Captions of the training data end well before this; rows stop at their end token. */
const DEFAULT_MAX_NEW_TOKENS = 30;

export interface BuildOptions {
  readonly base: ModelFolder;
  readonly adapter?: ModelFolder;
  /** A graph for each; the first is `model.onnx`. */
  readonly dtypes: readonly [Dtype, ...Dtype[]];
  /** Edge of the pictures in pixels; the preprocessor's own where absent. */
  readonly imageSize?: number;
  /** What is known of when its captions need a look; a new model has to be calibrated first. */
  readonly review?: BundleManifest["review"];
  /** Folder of the bundle; one that is there already is replaced, anything else is refused. */
  readonly out: string;
  readonly onProgress?: WriteProgress;
}

/**
 * Builds a bundle. The same weights and options give the same bytes.
 * @throws WeightError with what to do; BundleError if `out` holds anything but a bundle
 */
export async function buildBundle(options: BuildOptions): Promise<BundleManifest> {
  return replaceBundleFolder(options.out, (partial) => writeBundle(options, partial));
}

/** What the graphs of a bundle have in common. */
type Described = Omit<BundleManifest, keyof Variant | "variants">;

async function writeBundle(
  { base, adapter, dtypes, imageSize, review = null, onProgress }: BuildOptions,
  folder: string,
): Promise<BundleManifest> {
  const config = await readBlipConfig(base.folder);
  const stored = await readPreprocessing(base.folder);
  const preprocessing: Preprocessing = { ...stored, size: imageSize ?? stored.size };
  const baseWeights = await openWeightFolder(base.folder, "model");
  const weights = adapter ? mergeAdapter(baseWeights, await openAdapter(adapter.folder)) : baseWeights;
  const vocabularyPath = join(base.folder, VOCABULARY_FILE);
  await copyFile(vocabularyPath, join(folder, VOCABULARY_FILE)).catch((cause) => {
    throw new WeightError(`${base.folder} has no ${VOCABULARY_FILE}.`, { cause });
  });
  const described: Described = {
    format: 2,
    // A merged model is known by its adapter.
    id: (adapter ?? base).id,
    architecture: "blip",
    image: {
      size: preprocessing.size,
      mean: [...preprocessing.mean],
      std: [...preprocessing.std],
      resampling: preprocessing.resampling,
    },
    tokens: await tokenSettings(base.folder, config),
    generation: { max_new_tokens: DEFAULT_MAX_NEW_TOKENS, num_beams: 1 },
    base: { id: base.id, sha256: await weightFolderHash(base.folder, "model") },
    adapter: adapter
      ? { id: adapter.id, sha256: await weightFolderHash(adapter.folder, "adapter_model") }
      : null,
    review,
  };
  const variants: Variant[] = [];
  for (const dtype of dtypes) {
    const file = variants.length === 0 ? "model.onnx" : `model.${dtype}.onnx`;
    const graph = buildCaptionGraph(weights, config, preprocessing, dtype);
    const graphHash = await writeModel(graph, join(folder, file), onProgress);
    const revision = await revisionOf(described, dtype, graphHash, vocabularyPath);
    variants.push({ dtype, graph: file, revision });
  }
  const [first, ...others] = variants as [Variant, ...Variant[]];
  const manifest: BundleManifest = { ...described, ...first, variants: others };
  await writeFile(join(folder, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

const TokenizerConfig = z.object({ do_lower_case: z.boolean().default(true) });

async function tokenSettings(
  folder: string,
  { text_config: text }: BlipConfig,
): Promise<BundleManifest["tokens"]> {
  const raw = await readFile(join(folder, "tokenizer_config.json"), "utf8").catch(() => "{}");
  return {
    bos: text.bos_token_id,
    eos: text.sep_token_id,
    pad: text.pad_token_id,
    lower_case: TokenizerConfig.parse(JSON.parse(raw)).do_lower_case,
    max_positions: text.max_position_embeddings,
  };
}

/** Hash of everything that can change a caption: graph and weights, vocabulary, pictures' preparation, defaults. */
async function revisionOf(
  { image, tokens, generation }: Described,
  dtype: Dtype,
  graphHash: string,
  vocabularyPath: string,
): Promise<string> {
  const vocabulary = await readFile(vocabularyPath);
  return createHash("sha256")
    .update(JSON.stringify({ graphHash, image, tokens, generation, dtype }))
    .update(vocabulary)
    .digest("hex")
    .slice(0, 16);
}
