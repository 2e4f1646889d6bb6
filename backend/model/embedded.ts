/** The model that comes with the project: weights in models/, its bundle built from them when it is needed. */

import { fileURLToPath } from "node:url";
import { type Bundle, openBundle } from "../bundle/bundle.ts";
import { type BuildOptions, buildBundle } from "./build.ts";
import { weightFolderHash } from "./weights/safetensors.ts";

const MODEL = "flickr8k-small";
const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const EMBEDDED_BASE = { id: `${MODEL}/base`, folder: folder(`models/${MODEL}/base`) };
export const EMBEDDED_ADAPTER = { id: `${MODEL}/lora`, folder: folder(`models/${MODEL}/lora`) };
export const EMBEDDED_BUNDLE = folder("bundles/embedded");

/** Opens the embedded bundle; builds it first where there is none, or one of other weights. */
export async function openEmbeddedBundle(onProgress?: BuildOptions["onProgress"]): Promise<Bundle> {
  const current = await openBundle(EMBEDDED_BUNDLE).catch(() => undefined);
  if (current && (await isBuiltFromWeights(current))) return current;
  await buildBundle({
    base: EMBEDDED_BASE,
    adapter: EMBEDDED_ADAPTER,
    dtypes: ["fp32"],
    out: EMBEDDED_BUNDLE,
    ...(onProgress ? { onProgress } : {}),
  });
  return openBundle(EMBEDDED_BUNDLE);
}

async function isBuiltFromWeights({ manifest }: Bundle): Promise<boolean> {
  const [base, adapter] = await Promise.all([
    weightFolderHash(EMBEDDED_BASE.folder, "model"),
    weightFolderHash(EMBEDDED_ADAPTER.folder, "adapter_model"),
  ]);
  return manifest.base.sha256 === base && manifest.adapter?.sha256 === adapter;
}
