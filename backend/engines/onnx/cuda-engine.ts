/**
 * A GPU through CUDA. A step of decoding is some two hundred small operators, and starting them takes the CPU longer than the
 * GPU needs for them: a second forward pass beside the first, from a thread of its own, fills what is left between them.
 * Measured: docs/measurements/gpu.md.
 */

import type { Engine } from "../engine.ts";
import { type EngineOptions, openLanes, withLanes } from "./lanes.ts";
import { createThreadedOnnxEngine } from "./threaded.ts";

/** An engine that makes two forward passes at once when there is a crowd, where the GPU has memory for them. Rejects as `createThreadedOnnxEngine`. */
export async function createCudaEngine(options: EngineOptions): Promise<Engine> {
  const whole = await createThreadedOnnxEngine(options);
  return withLanes({
    whole,
    openLanes: async () => [whole, ...(await openLanes(1, options))],
    maxBatchSize: options.maxBatchSize,
  });
}
