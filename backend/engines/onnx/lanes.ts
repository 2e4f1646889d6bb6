/**
 * The CPU for a lone picture and for a crowd. One forward pass on all cores answers a lone one soonest; but its threads
 * wait for each other at every step, spinning, and the more so where decoding or other work takes one of their cores. So
 * once there is a crowd, batches go through lanes: passes of fewer threads beside each other, which caption more a second.
 */

import { graphBytes } from "../../bundle/graph-files.ts";
import { checkRevision } from "../../bundle/revision.ts";
import type { Engine } from "../engine.ts";
import type { OnnxEngineOptions } from "./engine.ts";
import { createThreadedOnnxEngine } from "./threaded.ts";

/** Each lane holds the weights once more: past this they are not worth it. */
const MAX_WEIGHT_BYTES = 128 * 1024 * 1024;
const MAX_LANES = 4;

type Options = OnnxEngineOptions & Required<Pick<OnnxEngineOptions, "threads" | "maxBatchSize">>;

/** An engine for the CPU: with lanes, where there are cores for them and the weights are small. Rejects as `createThreadedOnnxEngine`. */
export async function createCpuEngine(options: Options): Promise<Engine> {
  const { threads, maxBatchSize, bundle } = options;
  const count = Math.min(threads, MAX_LANES);
  const whole = await createThreadedOnnxEngine(options);
  if (count < 2 || (await graphBytes(bundle.graphPath)) > MAX_WEIGHT_BYTES) return whole;
  const ofLane = { ...options, threads: Math.floor(threads / count) };
  async function openLanes(): Promise<Engine[]> {
    const lanes = await Promise.all(Array.from({ length: count }, () => createThreadedOnnxEngine(ofLane)));
    try {
      // Another bundle may have been written there since the start: its captions would be kept as this one's.
      await checkRevision(bundle);
      return lanes;
    } catch (error) {
      await Promise.all(lanes.map((lane) => lane.close()));
      throw error;
    }
  }
  return withLanes({ whole, openLanes, maxBatchSize });
}

/**
 * `whole` alone until two full batches come one after the other. Then the lanes are opened, since they take memory, and
 * `whole` keeps the small batches that come while nothing runs.
 */
export function withLanes({
  whole,
  openLanes,
  maxBatchSize,
}: {
  readonly whole: Engine;
  readonly openLanes: () => Promise<readonly Engine[]>;
  readonly maxBatchSize: number;
}): Engine {
  let lanes: readonly Engine[] = [];
  let free: Engine[] = [];
  let opened: Promise<void> | undefined;
  let running = 0;
  let wasFull = false;

  async function open(): Promise<void> {
    try {
      lanes = await openLanes();
      free = [...lanes];
    } catch {
      // No memory for them, say, or another bundle in the folder: `whole` goes on as it did.
    }
  }

  return {
    bundle: whole.bundle,
    get concurrency() {
      return Math.max(1, lanes.length);
    },
    async generate(pixels, batch, ...call) {
      const isFull = batch === maxBatchSize;
      if (isFull && wasFull) opened ??= open();
      wasFull = isFull;
      const isAlone = running === 0 && batch <= Math.max(1, maxBatchSize / 2);
      const lane = isAlone ? undefined : free.pop();
      running += 1;
      try {
        return await (lane ?? whole).generate(pixels, batch, ...call);
      } finally {
        running -= 1;
        if (lane !== undefined) free.push(lane);
      }
    },
    async close() {
      await opened;
      await Promise.all([whole, ...lanes].map((engine) => engine.close()));
    },
  };
}
