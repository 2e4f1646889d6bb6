/**
 * The CPU for a lone picture and for a crowd. One forward pass on all cores answers a lone one soonest; but its threads
 * wait for each other at every step, spinning, and the more so where decoding or other work takes one of their cores. So
 * once there is a crowd, batches go through lanes: passes of fewer threads beside each other, which caption more a second.
 */

import { graphBytes } from "../../bundle/graph-files.ts";
import type { Engine } from "../engine.ts";
import { type EngineOptions, openLanes, withLanes } from "./lanes.ts";
import { createThreadedOnnxEngine } from "./threaded.ts";

/** Each lane holds the weights once more: past this they are not worth it. */
const MAX_WEIGHT_BYTES = 128 * 1024 * 1024;
const MAX_LANES = 4;

/** An engine for the CPU: with lanes, where there are cores for them and the weights are small. Rejects as `createThreadedOnnxEngine`. */
export async function createCpuEngine(options: EngineOptions): Promise<Engine> {
  const { threads, maxBatchSize, bundle } = options;
  const count = Math.min(threads, MAX_LANES);
  const whole = await createThreadedOnnxEngine(options);
  if (count < 2 || (await graphBytes(bundle.graphPath)) > MAX_WEIGHT_BYTES) return whole;
  const ofLane = { ...options, threads: Math.floor(threads / count) };
  return withLanes({ whole, openLanes: () => openLanes(count, ofLane), maxBatchSize });
}
