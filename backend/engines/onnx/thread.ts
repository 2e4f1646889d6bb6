/** The thread of threaded.ts: loads the engine, then answers one call after another until it is told to close. */

import { parentPort, workerData } from "node:worker_threads";
import { DeviceError } from "./device.ts";
import { createOnnxEngine, type OnnxEngineOptions } from "./engine.ts";
import type { EngineCall, EngineReply } from "./thread-messages.ts";

if (parentPort === null) throw new Error("This is a bug: thread.ts runs only as a worker thread.");
const port = parentPort;
const reply = (message: EngineReply) => port.postMessage(message);

try {
  const engine = await createOnnxEngine(workerData as OnnxEngineOptions);
  port.on("message", async (message: EngineCall | "close") => {
    if (message === "close") {
      await engine.close();
      port.close();
      return;
    }
    try {
      const { pixels, batch, options } = message;
      reply({ kind: "sequences", sequences: await engine.generate(pixels, batch, options) });
    } catch (error) {
      reply({ kind: "error", error });
    }
  });
  reply({ kind: "ready", buckets: engine.buckets });
} catch (error) {
  reply(
    error instanceof DeviceError
      ? { kind: "unusable-device", message: error.message }
      : { kind: "error", error },
  );
}
