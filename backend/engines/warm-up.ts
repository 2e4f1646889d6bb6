/** Forward passes that only warm an engine up. */

import type { Engine } from "./engine.ts";

/** Runs `engine` at each of these batch sizes on black pictures, because its first pass at a size may take seconds. */
export async function warmUp(engine: Engine, batchSizes: Iterable<number>): Promise<void> {
  const { size } = engine.bundle.manifest.image;
  const decoding = { maxNewTokens: 2, numBeams: 1, promptIds: [] };
  for (const batch of batchSizes) {
    await engine.generate(new Uint8Array(batch * 3 * size * size), batch, decoding);
  }
}
