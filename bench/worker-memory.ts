/** Memory of a running worker: its isolate, by the Chrome DevTools Protocol, and the workerd around it. */

import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import * as z from "zod";
import type { RunningEdge } from "../local/edge.ts";

const SAMPLE_EVERY_MS = 500;
const MIB = 1024 * 1024;

export interface MemorySamples {
  /** MiB of the worker's isolate: its heap, and buffers outside the heap. */
  readonly worker: number[];
  /** Resident MiB of the whole process. */
  readonly workerd: number[];
}

/** Samples a running edge until `stop`, which returns twenty samples of each, spread over the time. Linux only. */
export async function sampleMemory({
  group,
  inspectorPort,
}: Pick<RunningEdge, "group" | "inspectorPort">): Promise<{ stop(): MemorySamples }> {
  const isolate = await inspectIsolate(inspectorPort);
  const worker: number[] = [];
  const workerd: number[] = [];
  const timer = setInterval(async () => {
    workerd.push(workerdMib(group));
    worker.push(await isolate.mib());
  }, SAMPLE_EVERY_MS);
  const spread = (samples: readonly number[]) =>
    samples.filter((_, i) => i % Math.max(1, Math.ceil(samples.length / 20)) === 0);
  return {
    stop() {
      clearInterval(timer);
      isolate.close();
      return { worker: spread(worker), workerd: spread(workerd) };
    },
  };
}

const Reply = z.object({ id: z.number().optional(), result: z.unknown().optional() });
/** https://chromedevtools.github.io/devtools-protocol/tot/Runtime/#method-getHeapUsage, bytes */
const HeapUsage = z.object({ usedSize: z.number(), backingStorageSize: z.number() });

/** Connects to the worker's isolate by the Chrome DevTools Protocol. */
async function inspectIsolate(port: number): Promise<{ mib(): Promise<number>; close(): void }> {
  // wrangler answers only callers that name a page of this machine as their origin; the DOM's types know no headers.
  const options = { headers: { Origin: "http://localhost" } } as unknown as string[];
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, options);
  await once(socket, "open");
  let asked = 0;
  const waiting = new Map<number | undefined, (result: unknown) => void>();
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = Reply.parse(JSON.parse(String(data)));
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  return {
    async mib() {
      const id = ++asked;
      const answered = new Promise((resolve) => waiting.set(id, resolve));
      socket.send(JSON.stringify({ id, method: "Runtime.getHeapUsage" }));
      const { usedSize, backingStorageSize } = HeapUsage.parse(await answered);
      return (usedSize + backingStorageSize) / MIB;
    },
    close: () => socket.close(),
  };
}

/** Resident MiB of the largest workerd in a process group. */
function workerdMib(group: number): number {
  const sizes = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        const groupOf = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[2];
        if (!/^Name:\s+workerd$/m.test(status) || Number(groupOf) !== group) return 0;
        return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
      } catch {
        // A process may end in the meantime.
        return 0;
      }
    });
  return Math.max(0, ...sizes);
}
