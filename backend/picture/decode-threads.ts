/**
 * Decodes pictures in threads of their own, one picture a thread at a time: the exact resize is JavaScript, and on the
 * server's thread it would keep every other request waiting. Knows nothing of HTTP or of queues; see decode-lanes.ts.
 */

import { Worker } from "node:worker_threads";
import type { Result } from "../../shared/result.ts";
import type { InspectedPicture } from "./decode.ts";
import type { DecodeReply, DecodeThreadOptions } from "./decode-messages.ts";

export interface DecodeThreads {
  /** As `decodePicture`. At most as many at once as there are threads. */
  decode(picture: InspectedPicture): Promise<Result<Uint8Array>>;
  close(): Promise<void>;
}

/** Starts `threads` threads; the first pictures wait until they have loaded. */
export function createDecodeThreads({
  threads,
  ...options
}: DecodeThreadOptions & { threads: number }): DecodeThreads {
  const start = () => new Worker(new URL("./decode-thread.ts", import.meta.url), { workerData: options });
  const all = new Set(Array.from({ length: threads }, start));
  const idle = [...all];

  function replace(dead: Worker): void {
    all.delete(dead);
    const worker = start();
    all.add(worker);
    idle.push(worker);
  }

  return {
    async decode(picture) {
      const worker = idle.pop();
      if (worker === undefined) throw new Error(`This is a bug: more than ${threads} pictures at once.`);
      const { promise, resolve, reject } = Promise.withResolvers<DecodeReply>();
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.postMessage(picture);
      try {
        const reply = await promise;
        idle.push(worker);
        if (reply.kind === "error") throw reply.error;
        return reply.result;
      } catch (error) {
        if (!idle.includes(worker)) replace(worker);
        throw error;
      } finally {
        worker.off("message", resolve);
        worker.off("error", reject);
      }
    },
    async close() {
      await Promise.all([...all].map((worker) => worker.terminate()));
    },
  };
}
