/** Runs forward passes in parallel, once there is a crowd. */

import { checkRevision } from "../../bundle/revision.ts";
import type { Engine } from "../engine.ts";
import { warmUp } from "../warm-up.ts";
import type { OnnxEngineOptions } from "./engine.ts";
import { createThreadedOnnxEngine } from "./threaded.ts";

export type EngineOptions = OnnxEngineOptions & Required<Pick<OnnxEngineOptions, "threads" | "maxBatchSize">>;

/**
 * Uses `whole` alone until two full batches come one after the other. Then it opens the lanes, which take memory.
 * Small batches that come while nothing runs still go to `whole`, which may be one of the lanes.
 * @param options.openLanes if it rejects, `whole` goes on alone
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
  const busy = new Set<Engine>();
  let lanes: readonly Engine[] = [];
  let opened: Promise<void> | undefined;
  let wasFull = false;

  async function open(): Promise<void> {
    try {
      lanes = await openLanes();
    } catch {
      // Perhaps there is no memory for them, or another bundle in the folder: `whole` goes on as before.
    }
  }

  function choose(batch: number): Engine {
    const isAlone = busy.size === 0 && batch <= Math.max(1, maxBatchSize / 2);
    const free = isAlone ? undefined : lanes.findLast((lane) => !busy.has(lane));
    return free ?? whole;
  }

  return {
    bundle: whole.bundle,
    get concurrency() {
      return Math.max(1, lanes.length);
    },
    ...(whole.buckets && { buckets: whole.buckets }),
    async generate(pixels, batch, ...call) {
      const isFull = batch === maxBatchSize;
      if (isFull && wasFull) opened ??= open();
      wasFull = isFull;
      const engine = choose(batch);
      busy.add(engine);
      try {
        return await engine.generate(pixels, batch, ...call);
      } finally {
        busy.delete(engine);
      }
    },
    async close() {
      await opened;
      await Promise.all([...new Set([whole, ...lanes])].map((engine) => engine.close()));
    },
  };
}

/** Opens and warms up engines for a bundle that is already being served. @throws BundleError if its files have changed */
export async function openLanes(count: number, options: EngineOptions): Promise<Engine[]> {
  const lanes = await Promise.all(Array.from({ length: count }, () => createThreadedOnnxEngine(options)));
  try {
    // Another bundle may have been written there since the start, and its captions would be cached as this one's.
    await checkRevision(options.bundle);
    for (const lane of lanes) await warmUp(lane, lane.buckets ?? []);
    return lanes;
  } catch (error) {
    await Promise.all(lanes.map((lane) => lane.close()));
    throw error;
  }
}
