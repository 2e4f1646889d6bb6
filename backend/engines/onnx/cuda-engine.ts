/**
 * Runs a model on a GPU through CUDA. A decoding step is some two hundred small operators, and starting them takes
 * the CPU longer than the GPU needs to run them. A second forward pass from a thread of its own fills the gaps.
 * Measured: docs/measurements/gpu.md.
 */

import type { Engine } from "../engine.ts";
import { type EngineOptions, openLanes, withLanes } from "./lanes.ts";
import { createThreadedOnnxEngine } from "./threaded.ts";

/**
 * Creates an engine that makes two forward passes at once when there is a crowd, if the GPU has memory for them.
 * Rejects as `createThreadedOnnxEngine` does.
 */
export async function createCudaEngine(options: EngineOptions): Promise<Engine> {
  const whole = await createThreadedOnnxEngine(options);
  return withLanes({
    whole,
    openLanes: async () => [whole, ...(await openLanes(1, options))],
    maxBatchSize: options.maxBatchSize,
  });
}
