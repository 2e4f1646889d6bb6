/**
 * The CPU for a lone picture and for a crowd. One forward pass on all cores answers a lone one soonest; but its threads
 * wait for each other at every step, spinning, and the more so where decoding or other work takes one of their cores. So a
 * crowd's batches go through lanes: passes of fewer threads beside each other, which caption more a second.
 */

import { statSync } from "node:fs";
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
  if (count < 2 || weightBytes(bundle.graphPath) > MAX_WEIGHT_BYTES) return whole;
  const ofLane = { ...options, threads: Math.floor(threads / count) };
  const lanes = await Promise.all(Array.from({ length: count }, () => createThreadedOnnxEngine(ofLane)));
  return withLanes({ whole, lanes, maxBatchSize });
}

/** Of a graph and of the file beside it that large weights lie in: see onnx-writer.ts. */
function weightBytes(graphPath: string): number {
  const sizes = [graphPath, `${graphPath}.data`].map(
    (file) => statSync(file, { throwIfNoEntry: false })?.size,
  );
  return sizes.reduce<number>((sum, size = 0) => sum + size, 0);
}

/** Gives `whole` a small batch that comes while nothing runs, and the rest to whichever of `lanes` is free. */
export function withLanes({
  whole,
  lanes,
  maxBatchSize,
}: {
  readonly whole: Engine;
  readonly lanes: readonly Engine[];
  readonly maxBatchSize: number;
}): Engine {
  const free = [...lanes];
  let running = 0;
  return {
    bundle: whole.bundle,
    concurrency: lanes.length,
    async generate(pixels, batch, ...call) {
      const lane = running === 0 && 2 * batch <= maxBatchSize ? undefined : free.pop();
      running += 1;
      try {
        return await (lane ?? whole).generate(pixels, batch, ...call);
      } finally {
        running -= 1;
        if (lane !== undefined) free.push(lane);
      }
    },
    async close() {
      await Promise.all([whole, ...lanes].map((engine) => engine.close()));
    },
  };
}
