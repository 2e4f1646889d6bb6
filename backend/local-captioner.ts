/** A captioner in this process with no server around it, for commands and measurements. */

import { availableParallelism } from "node:os";
import type { Device } from "./bundle/bundle.ts";
import { checkRevision } from "./bundle/revision.ts";
import { createTokenizer } from "./bundle/tokenizer.ts";
import { type Captioner, createCaptioner } from "./captioner/captioner.ts";
import type { Engine } from "./engines/engine.ts";
import { openFastest } from "./engines/measured-dtype.ts";
import { createOnnxEngine } from "./engines/onnx/engine.ts";
import type { BuildOptions } from "./model/build.ts";
import { openEmbeddedBundle } from "./model/embedded.ts";

export interface LocalCaptioner {
  readonly captioner: Captioner;
  /** The caller closes it when done. */
  readonly engine: Engine;
}

/**
 * Opens the bundle in `folder` in the precision that a server on this machine would choose by default. Without
 * `folder` it opens the embedded bundle, and builds that first if it is missing.
 */
export async function openLocalCaptioner(
  folder: string | undefined,
  { device = "cpu", onProgress }: { device?: Device; onProgress?: BuildOptions["onProgress"] } = {},
): Promise<LocalCaptioner> {
  const here = { device, threads: availableParallelism() };
  const bundle = folder ? (await openFastest(folder, here)).bundle : await openEmbeddedBundle(onProgress);
  await checkRevision(bundle);
  const engine = await createOnnxEngine({ bundle, device });
  return { captioner: createCaptioner({ engine, tokenizer: await createTokenizer(bundle) }), engine };
}
