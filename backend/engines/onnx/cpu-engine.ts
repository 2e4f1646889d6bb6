/**
 * Runs a model on the CPU, for a lone picture as well as for a crowd. One forward pass on all cores answers a lone
 * one soonest, but its threads wait for each other at every step, spinning, all the more when decoding or other
 * work takes one of their cores. So once there is a crowd, batches go through lanes: parallel passes with fewer
 * threads each, which caption more per second.
 */

import { graphBytes } from "../../bundle/graph-files.ts";
import type { Engine } from "../engine.ts";
import { type EngineOptions, openLanes, withLanes } from "./lanes.ts";
import { createThreadedOnnxEngine } from "./threaded.ts";

/** Most weights that lanes are worth, because each lane holds them once more. */
const MAX_WEIGHT_BYTES = 128 * 1024 * 1024;
const MAX_LANES = 4;

/**
 * Creates an engine for the CPU; it has lanes if there are enough cores and the weights are small. Rejects as
 * `createThreadedOnnxEngine` does.
 */
export async function createCpuEngine(options: EngineOptions): Promise<Engine> {
  const { threads, maxBatchSize, bundle } = options;
  const count = Math.min(threads, MAX_LANES);
  const whole = await createThreadedOnnxEngine(options);
  if (count < 2 || (await graphBytes(bundle.graphPath)) > MAX_WEIGHT_BYTES) return whole;
  const ofLane = { ...options, threads: Math.floor(threads / count) };
  return withLanes({ whole, openLanes: () => openLanes(count, ofLane), maxBatchSize });
}
