/**
 * Runs the ONNX engine in a thread of its own. onnxruntime-node's `run` looks asynchronous but computes on the
 * thread that calls it. On the server's own thread, no request would be read, refused or decoded during a forward
 * pass.
 */

import "./no-telemetry.ts";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Engine } from "../engine.ts";
import { DeviceError } from "./device.ts";
import type { OnnxEngineOptions } from "./engine.ts";
import type { EngineCall, EngineReply } from "./thread-messages.ts";

/** What the threads of this process are loading or computing now. */
const underWay = new Set<Promise<EngineReply>>();
let isEnding = false;

/**
 * Resolves once no thread loads or computes; from then on none starts again. For a process that exits before it has
 * closed its engines: ONNX Runtime would return to a thread whose JavaScript is gone, and abort the process.
 */
export async function restThreads(): Promise<void> {
  isEnding = true;
  await Promise.allSettled(underWay);
}

/** Loads the bundle in a new thread. Rejects with what `createOnnxEngine` throws there. */
export async function createThreadedOnnxEngine(options: OnnxEngineOptions): Promise<Engine> {
  const worker = new Worker(new URL("./thread.ts", import.meta.url), { workerData: options });
  let pending = Promise.withResolvers<EngineReply>();
  let loaded = false;
  worker.on("message", (reply: EngineReply) => pending.resolve(reply));
  worker.on("error", (error) => {
    // Errors of a forward pass come as replies. If the thread itself is gone, the process is useless, so it ends loudly.
    if (loaded) throw error;
    pending.reject(error);
  });

  async function nextReply<K extends "ready" | "sequences">(
    kind: K,
  ): Promise<Extract<EngineReply, { kind: K }>> {
    const { promise } = pending;
    underWay.add(promise);
    const reply = await promise.finally(() => underWay.delete(promise));
    if (reply.kind === "error") throw reply.error;
    if (reply.kind === "unusable-device") throw new DeviceError(reply.message);
    if (reply.kind !== kind) throw new Error(`This is a bug: the engine's thread answered ${reply.kind}.`);
    return reply as Extract<EngineReply, { kind: K }>;
  }

  const { buckets } = await nextReply("ready");
  loaded = true;
  return {
    bundle: options.bundle,
    concurrency: 1,
    ...(buckets && { buckets }),
    async generate(pixels, batch, decoding) {
      if (isEnding) return new Promise(() => {});
      pending = Promise.withResolvers();
      worker.postMessage({ pixels, batch, options: decoding } satisfies EngineCall);
      return (await nextReply("sequences")).sequences;
    },
    async close() {
      const exited = once(worker, "exit");
      worker.postMessage("close");
      await exited;
    },
  };
}
