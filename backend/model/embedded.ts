/** The model that comes with the project: its weights are in models/, and its bundle is built from them when needed. */

import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import {
  type Bundle,
  BundleError,
  BundleManifest,
  GRAPH_VERSION,
  openBundle,
  writeReview,
} from "../bundle/bundle.ts";
import { fileExists } from "../bundle/file-exists.ts";
import { readJsonFile, writeJsonFile } from "../bundle/json-file.ts";
import { type BuildOptions, baseHash, buildBundle } from "./build.ts";
import { weightFolderHash } from "./weights/safetensors.ts";

const MODEL = "hybrid-small";
const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const EMBEDDED_BASE = { id: `${MODEL}/base`, folder: folder(`models/${MODEL}/base`) };
export const EMBEDDED_ADAPTER = { id: `${MODEL}/lora`, folder: folder(`models/${MODEL}/lora`) };
export const EMBEDDED_BUNDLE = folder("bundles/embedded");

/** What `npm run eval -- --calibrate` found for the weights beside it. Like the weights, it is part of the project. */
const REVIEW_FILE = folder(`models/${MODEL}/review.json`);

const MeasuredReview = z.object({
  /** SHA-256 of the weights that it was measured with. It does not apply to any others. */
  base: z.string(),
  adapter: z.string(),
  review: BundleManifest.shape.review,
});
type MeasuredReview = z.infer<typeof MeasuredReview>;

/** Opens the embedded bundle. Builds it first if it is missing, has other weights or has an older graph. */
export async function openEmbeddedBundle(onProgress?: BuildOptions["onProgress"]): Promise<Bundle> {
  const weights = await embeddedWeights();
  const review = await readReview(weights);
  const current = await openBundle(EMBEDDED_BUNDLE).catch(() => undefined);
  const { base, adapter, graph_version } = current?.manifest ?? {};
  const isOfWeights = base?.sha256 === weights.base && adapter?.sha256 === weights.adapter;
  if (!isOfWeights || graph_version !== GRAPH_VERSION) {
    await buildBundle({
      base: EMBEDDED_BASE,
      adapter: EMBEDDED_ADAPTER,
      dtypes: ["fp32"],
      review,
      out: EMBEDDED_BUNDLE,
      ...(onProgress ? { onProgress } : {}),
    });
  } else if (!isDeepStrictEqual(current?.manifest.review, review)) {
    await writeReview(EMBEDDED_BUNDLE, review);
  }
  return openBundle(EMBEDDED_BUNDLE);
}

/** Saves a new review threshold of the embedded model beside its weights, and puts it into its bundle. */
export async function saveEmbeddedReview(review: MeasuredReview["review"]): Promise<void> {
  const measured: MeasuredReview = { ...(await embeddedWeights()), review };
  await writeJsonFile(REVIEW_FILE, measured);
  await writeReview(EMBEDDED_BUNDLE, review);
}

async function embeddedWeights(): Promise<Omit<MeasuredReview, "review">> {
  const [base, adapter] = await Promise.all([
    baseHash(EMBEDDED_BASE.folder),
    weightFolderHash(EMBEDDED_ADAPTER.folder, ["adapter_model"]),
  ]);
  return { base, adapter };
}

/**
 * The saved threshold, or null if it was measured with other weights; those flag everything until they are
 * calibrated.
 */
async function readReview(weights: Omit<MeasuredReview, "review">): Promise<MeasuredReview["review"]> {
  if (!(await fileExists(REVIEW_FILE))) return null;
  const measured = await readJsonFile(REVIEW_FILE, MeasuredReview, BundleError);
  return measured.base === weights.base && measured.adapter === weights.adapter ? measured.review : null;
}
