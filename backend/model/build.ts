/** Builds a bundle from weights: reads base and adapter, merges them, writes the graph and the files beside it. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  type BundleManifest,
  type Dtype,
  GRAPH_VERSION,
  MANIFEST_FILE,
  openBundle,
  type Variant,
  VOCABULARY_FILE,
} from "../bundle/bundle.ts";
import { revisionOf } from "../bundle/revision.ts";
import { type BlipConfig, readBlipConfig } from "./blip/config.ts";
import { closeOutputLayer, openOutputLayer } from "./blip/output-layer.ts";
import { type Preprocessing, readPreprocessing } from "./blip/preprocessing.ts";
import { requireShapes } from "./blip/tensor-shapes.ts";
import { readVocabulary } from "./blip/vocabulary.ts";
import { replaceBundleFolder } from "./bundle-folder.ts";
import { buildCaptionGraph } from "./caption-graph.ts";
import { type WriteProgress, writeModel } from "./onnx/onnx-writer.ts";
import { mergeAdapter, openAdapter, withBaseLayers } from "./weights/lora.ts";
import type { ModelFolder } from "./weights/model-folder.ts";
import { hasPictureHead, PICTURE_HEAD, withPictureHead } from "./weights/picture-head.ts";
import { openWeightFolder, weightFolderHash } from "./weights/safetensors.ts";
import { finiteWeights, type WeightSource } from "./weights/weights.ts";

/** Captions in the training data are much shorter, and rows stop at their end token. */
const DEFAULT_MAX_NEW_TOKENS = 30;

export interface BuildOptions {
  readonly base: ModelFolder;
  readonly adapter?: ModelFolder;
  /** A graph is written for each; the first one is `model.onnx`. */
  readonly dtypes: readonly [Dtype, ...Dtype[]];
  /** Edge of the pictures in pixels; by default the preprocessor's own. */
  readonly imageSize?: number;
  /**
   * When captions need a review. By default it is taken from the bundle that this one replaces, if that holds the same
   * model in whatever precisions; any other model must be calibrated first.
   */
  readonly review?: BundleManifest["review"];
  /** Folder of the bundle. An existing bundle is replaced; anything else there is refused. */
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

/** What all graphs of a bundle have in common. */
type Described = Omit<BundleManifest, keyof Variant | "variants" | "review">;

async function writeBundle(
  { base, adapter, dtypes, imageSize, review, out, onProgress }: BuildOptions,
  folder: string,
): Promise<BundleManifest> {
  const config = await readBlipConfig(base.folder);
  const stored = await readPreprocessing(base.folder);
  const preprocessing: Preprocessing = { ...stored, size: imageSize ?? stored.size };
  const weights = await openMergedWeights({ base, ...(adapter ? { adapter } : {}) }, config);
  const { tokens, lowerCase } = await readVocabulary(base.folder, config.text_config);
  await writeFile(join(folder, VOCABULARY_FILE), tokens.map((token) => `${token}\n`).join(""));
  const described: Described = {
    format: 2,
    graph_version: GRAPH_VERSION,
    // A merged model is known by its adapter's name.
    id: (adapter ?? base).id,
    architecture: "blip",
    image: {
      size: preprocessing.size,
      mean: [...preprocessing.mean],
      std: [...preprocessing.std],
      resampling: preprocessing.resampling,
    },
    tokens: {
      bos: config.text_config.bos_token_id,
      eos: config.text_config.sep_token_id,
      pad: config.text_config.pad_token_id,
      lower_case: lowerCase,
      max_positions: config.text_config.max_position_embeddings,
    },
    generation: { max_new_tokens: DEFAULT_MAX_NEW_TOKENS, num_beams: 1 },
    base: { id: base.id, sha256: await baseHash(base.folder) },
    adapter: adapter
      ? { id: adapter.id, sha256: await weightFolderHash(adapter.folder, ["adapter_model"]) }
      : null,
    picture_head: await hasPictureHead(base.folder),
  };
  const variants: Variant[] = [];
  for (const dtype of dtypes) {
    const file = variants.length === 0 ? "model.onnx" : `model.${dtype}.onnx`;
    const graph = buildCaptionGraph(weights, config, preprocessing, dtype);
    const graphHash = await writeModel(graph, join(folder, file), onProgress);
    const revision = revisionOf({ ...described, dtype }, { graphHash, vocabulary: tokens });
    variants.push({ dtype, graph: file, revision });
  }
  const [first, ...others] = variants as [Variant, ...Variant[]];
  const manifest: BundleManifest = {
    ...described,
    ...first,
    variants: others,
    review: review === undefined ? await reviewOfSame(out, described) : review,
  };
  await writeFile(join(folder, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/**
 * The review threshold of the bundle in `folder`, if that holds the same weights and prepares pictures in the same
 * way.
 */
async function reviewOfSame(folder: string, described: Described): Promise<BundleManifest["review"]> {
  const before = await openBundle(folder).catch(() => undefined);
  const model = ({ base, adapter, image, tokens }: Described) => [
    base.sha256,
    adapter?.sha256,
    image,
    tokens,
  ];
  if (before === undefined || !isDeepStrictEqual(model(before.manifest), model(described))) return null;
  return before.manifest.review;
}

/** SHA-256 of a base's weight files, including its picture head's. */
export async function baseHash(folder: string): Promise<string> {
  return weightFolderHash(folder, ["model", ...((await hasPictureHead(folder)) ? [PICTURE_HEAD] : [])]);
}

/** The weights as the graph reads them: the base, with the adapter merged in if there is one. */
export async function openMergedWeights(
  { base, adapter }: Pick<BuildOptions, "base" | "adapter">,
  config: BlipConfig,
): Promise<WeightSource> {
  const stored = await openWeightFolder(base.folder, "model");
  const opened = adapter && (await openAdapter(adapter.folder));
  const { weights, ties } = await openOutputLayer(opened ? withBaseLayers(stored, opened) : stored, config);
  const merged = opened && mergeAdapter(weights, opened);
  const closed = closeOutputLayer(merged ?? weights, ties, merged?.changed ?? new Set());
  requireShapes(closed, config);
  const { hidden_size: hidden } = config.vision_config;
  return finiteWeights(await withPictureHead(closed, { folder: base.folder, hidden }));
}
