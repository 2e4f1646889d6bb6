/**
 * A bundle's revision: the hash of everything that can change a caption. Captions are cached by it, so it is
 * checked against the files before they are served. Otherwise an incomplete copy, or files of two bundles in one
 * folder, would have their captions cached as another model's.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename, dirname } from "node:path";
import { type Bundle, BundleError, type BundleManifest, MANIFEST_FILE } from "./bundle.ts";
import { fileExists } from "./file-exists.ts";
import { weightsPath } from "./graph-files.ts";
import { readTokens } from "./tokenizer.ts";

/** The fields of the manifest that can change a caption. */
type Described = Pick<BundleManifest, "image" | "tokens" | "generation" | "dtype">;

/** @param graphHash SHA-256 of the graph's weights, if they have a file of their own, and of the graph */
export function revisionOf(
  { image, tokens, generation, dtype }: Described,
  { graphHash, vocabulary }: { readonly graphHash: string; readonly vocabulary: readonly string[] },
): string {
  return createHash("sha256")
    .update(JSON.stringify({ graphHash, image, tokens, generation, dtype }))
    .update(vocabulary.map((token) => `${token}\n`).join(""))
    .digest("hex")
    .slice(0, 16);
}

/** @throws BundleError if the revision was not made from these files */
export async function checkRevision({ manifest, graphPath, vocabularyPath }: Bundle): Promise<void> {
  const folder = dirname(graphPath);
  for (const path of [graphPath, vocabularyPath]) {
    if (await fileExists(path)) continue;
    throw new BundleError(`${folder} lacks ${basename(path)}: copy the whole bundle again, or rebuild it.`);
  }
  const hash = createHash("sha256");
  for (const path of [weightsPath(graphPath), graphPath]) {
    if (!(await fileExists(path))) continue;
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  }
  const vocabulary = await readTokens(vocabularyPath);
  const actual = revisionOf(manifest, { graphHash: hash.digest("hex"), vocabulary });
  if (actual === manifest.revision) return;
  throw new BundleError(
    `The files of ${folder} do not belong together: ${MANIFEST_FILE} says revision ${manifest.revision}, but they give ${actual}. ` +
      "A copy broke off, a file was changed, or files of two bundles were mixed: copy the whole bundle again, or rebuild it.",
  );
}
