/**
 * The process of decoder.ts: decodes one picture after another, and ends itself if one takes more memory or
 * processor time than it may. libvips computes on threads of its own, so this thread is free to watch. It holds no
 * secrets, because it is started without the server's environment.
 */

import { writeFileSync } from "node:fs";
import { success } from "../../shared/result.ts";
import { decodePicture } from "./decode.ts";
import { type DecodeOrder, type DecoderReply, type DecoderStart, SHARED_FILE } from "./decoder-messages.ts";
import type { InspectedPicture } from "./inspect.ts";
import { putInShared, takeFromShared } from "./shared-file.ts";

const WATCH_EVERY_MS = 25;
/** What a decoder may take beyond its estimate. Measured ones stayed within a fifth and a few buffers of it. */
const SLACK_BYTES = 96 * 1024 * 1024;
const SLACK_RATIO = 1.25;
/** The message, and the file in it. */
const FILE_COPIES = 2;

if (process.send === undefined)
  throw new Error("This is a bug: decoder-process.ts runs only as a child process.");
/**
 * The end of the channel tells when the server is gone. Without a callback, the failed message would crash the
 * process.
 */
const reply = (message: DecoderReply, then: () => void = () => {}) =>
  void process.send?.(message, undefined, {}, then);

// The server decides when to stop, but a Ctrl-C in its terminal reaches this process too.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
process.once("disconnect", () => process.exit());

endFirst();

let settings: DecoderStart | undefined;
let restingBytes = 0;

process.on("message", async (message: DecoderStart | DecodeOrder) => {
  if ("format" in message) {
    settings = message;
    restingBytes = process.memoryUsage.rss();
    reply({ kind: "ready" });
    return;
  }
  if (settings === undefined) throw new Error("This is a bug: a picture came before the settings.");
  let stopWatching = () => {};
  try {
    const picture = pictureOf(message);
    stopWatching = watch(picture, settings);
    const result = await decodePicture(picture, settings.format, settings.limits);
    const isShared = result.ok && settings.hasFile && putInShared(SHARED_FILE, result.value);
    reply({
      kind: "decoded",
      result: isShared ? success(result.value.length) : result,
      grownBytes: process.memoryUsage.rss() - restingBytes,
    });
  } catch (error) {
    reply({ kind: "error", message: error instanceof Error ? error.message : String(error) });
  } finally {
    stopWatching();
  }
});

/**
 * When memory runs out, Linux kills the largest process, which is the server, unless another one volunteers. See
 * proc(5).
 */
function endFirst(): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", "1000");
  } catch {
    // Another system, or /proc is not writable.
  }
}

function pictureOf({ picture, bytes }: DecodeOrder): InspectedPicture {
  return {
    ...picture,
    bytes: typeof bytes === "number" ? takeFromShared(SHARED_FILE, new Uint8Array(bytes)) : bytes,
  };
}

function watch({ bytes, decodeBytes }: InspectedPicture, { limits }: DecoderStart): () => void {
  // Memory left over from earlier pictures does not count; the server replaces a process that keeps much.
  const maxBytes =
    process.memoryUsage.rss() + FILE_COPIES * bytes.length + SLACK_RATIO * decodeBytes + SLACK_BYTES;
  const maxMicroseconds = limits.decodeTimeoutSeconds * 1e6;
  const before = process.cpuUsage();
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(before);
    const limit =
      process.memoryUsage.rss() > maxBytes ? "memory" : user + system > maxMicroseconds ? "time" : undefined;
    if (limit === undefined) return;
    clearInterval(timer);
    reply({ kind: "exceeded", limit }, () => process.exit(1));
  }, WATCH_EVERY_MS);
  return () => clearInterval(timer);
}
