/**
 * The process of measured-dtype.ts: opens one graph, times forward passes for a second, reports the time per
 * picture, and ends.
 */

import { createOnnxEngine, type OnnxEngineOptions } from "./onnx/engine.ts";

const MEASURE_MS = 1_000;
/** As many pictures as wait at a moderately busy server. */
const BATCH = 4;
/** About as many tokens as a caption has. */
const TOKENS = 12;

process.once("disconnect", () => process.exit());
process.on("message", async (options: OnnxEngineOptions) => {
  try {
    process.send?.({ ms: await msAPicture(options) });
  } catch (error) {
    process.send?.({ error: error instanceof Error ? error.message : String(error) });
  }
  process.exit();
});

/** The fastest pass counts, because whatever else the machine does can only make a pass slower. */
async function msAPicture(options: OnnxEngineOptions): Promise<number> {
  const engine = await createOnnxEngine(options);
  const { size } = options.bundle.manifest.image;
  const pixels = new Uint8Array(BATCH * 3 * size * size).fill(128);
  const decoding = { maxNewTokens: TOKENS, numBeams: 1, promptIds: [] };
  await engine.generate(pixels, BATCH, decoding);
  let fastest = Number.POSITIVE_INFINITY;
  for (const end = performance.now() + MEASURE_MS; performance.now() < end; ) {
    const startedAt = performance.now();
    await engine.generate(pixels, BATCH, decoding);
    fastest = Math.min(fastest, performance.now() - startedAt);
  }
  return fastest / BATCH;
}
