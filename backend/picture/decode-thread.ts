/** The thread of decode-threads.ts: decodes one picture after another. */

import { parentPort, workerData } from "node:worker_threads";
import { decodePicture, type InspectedPicture } from "./decode.ts";
import type { DecodeReply, DecodeThreadOptions } from "./decode-messages.ts";

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
