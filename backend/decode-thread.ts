/** The thread of decode-threads.ts: decodes one picture after another. */

import { parentPort, workerData } from "node:worker_threads";
import type { DecodeReply, DecodeThreadOptions } from "./decode-threads.ts";
import { decodePicture, type InspectedPicture } from "./picture.ts";

if (parentPort === null) throw new Error("This is a bug: decode-thread.ts runs only as a worker thread.");
const port = parentPort;
const { format, limits } = workerData as DecodeThreadOptions;

port.on("message", async (picture: InspectedPicture) => {
  let reply: DecodeReply;
  try {
    reply = { kind: "decoded", result: await decodePicture(picture, format, limits) };
  } catch (error) {
    reply = { kind: "error", error };
  }
  port.postMessage(reply);
});
