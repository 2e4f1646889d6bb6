/**
 * A decoder that can be ended: one process, one picture at a time. An unknown bomb exhausts this process, which is
 * then replaced, and never the server. No queue, no lanes.
 */

import { type ChildProcess, fork } from "node:child_process";
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Failure, FailureError } from "../../shared/problem.ts";
import { failure, type Result, success } from "../../shared/result.ts";
import type { DecodeOrder, DecoderReply, DecoderSettings, DecoderStart, Passed } from "./decoder-messages.ts";
import type { InspectedPicture } from "./inspect.ts";
import type { PixelMemory } from "./pixel-memory.ts";
import { openSharedFile, putInShared, takeFromShared } from "./shared-file.ts";

/** The process itself limits a picture's processor time; this limit ends one that fails to do so. */
const WALL_TIMEOUT_RATIO = 2.5;
/** Most memory that a process may keep after a picture; one that keeps more is replaced. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;
const MAX_HEAP_MIB = 128;
/** Larger files go by message, because by default a container has 64 MiB of shared memory for all of its decoders. */
const MAX_SHARED_BYTES = 1024 * 1024;

/** Failure when no decoder process can be started. */
export const NO_DECODER: Failure = {
  code: "unavailable",
  detail: "No picture can be decoded at the moment.",
  retryAfterSeconds: 5,
};

/**
 * The process ended without a reply, or did not reply in time. Either the picture caused it, or something else did,
 * such as a machine out of memory or somebody who stopped both processes for a while.
 */
export interface LostDecoder {
  /** The failure to report if the picture caused it. */
  readonly lost: Result<never>;
}

export interface Decoder {
  /**
   * Fails as `decodePicture` does, or with `decode-timeout` or `too-costly` if the picture ended its decoder.
   * Resolves with "ended" if `end` was called.
   * @throws {FailureError} `NO_DECODER` if the process cannot start
   * @throws Error for a bug
   */
  decode(picture: InspectedPicture): Promise<Result<Uint8Array> | LostDecoder | "ended">;
  /** Whether it may be given another picture. */
  readonly isFit: boolean;
  /** Ends the process at once, whatever it is doing. */
  end(): void;
}

export interface DecoderOptions extends DecoderSettings {
  /** Memory for the decoded pixels. */
  readonly memory: Pick<PixelMemory, "take">;
}

/** Starts a process; the first picture waits until it has loaded. */
export function startDecoder({ format, limits, memory }: DecoderOptions): Decoder {
  const file = openSharedFile();
  const child = fork(fileURLToPath(new URL("./decoder-process.ts", import.meta.url)), {
    // Pictures are buffers, and by default each byte would be written as a number.
    serialization: "advanced",
    // The server's environment is not passed on, because it holds a secret. More arenas would only keep memory.
    env: { MALLOC_ARENA_MAX: "2", ...libraryPath() },
    // Pixels lie outside the heap and are freed when its young generation is collected, so a small one frees them often.
    execArgv: [`--max-old-space-size=${MAX_HEAP_MIB}`, "--max-semi-space-size=1"],
    stdio: ["ignore", "ignore", "inherit", "ipc", file ?? "ignore"],
  });
  const wallTimeoutMs = limits.decodeTimeoutSeconds * 1000 * WALL_TIMEOUT_RATIO;
  // The process does not exist if no more files or processes may be opened.
  let isFit = child.pid !== undefined;
  let isReady = false;
  let isEnded = false;
  const unfit = () => {
    isFit = false;
  };
  child.once("exit", unfit);
  if (file !== undefined) {
    if (isFit) child.once("exit", () => closeSync(file));
    else closeSync(file);
  }
  // A broken channel ends the process, and its exit is handled.
  child.on("error", unfit);
  child.on("message", ({ kind }: DecoderReply) => {
    if (kind === "ready") isReady = true;
  });
  if (child.connected) {
    child.send({ format, limits, hasFile: file !== undefined } satisfies DecoderStart);
  }
  // The server exits when it is done, without waiting for its decoders.
  child.unref();
  child.channel?.unref();

  const end = () => {
    isFit = false;
    isEnded = true;
    // A process that could not start has no id of its own, only what was left in memory. Node would kill the
    // process with that id or, if it is 0, the server's own group.
    if (child.pid !== undefined) child.kill("SIGKILL");
  };
  const timedOut = () =>
    failure("decode-timeout", `Decoding took more than ${limits.decodeTimeoutSeconds} s.`);

  const isShared = (bytes: Uint8Array) =>
    file !== undefined && bytes.length <= MAX_SHARED_BYTES && putInShared(file, bytes);
  const orderOf = ({ bytes, ...picture }: InspectedPicture): DecodeOrder => ({
    picture,
    bytes: isShared(bytes) ? bytes.length : bytes,
  });
  const pixelsOf = (passed: Passed) =>
    typeof passed === "number" ? takeFromShared(file as number, memory.take()) : passed;

  return {
    get isFit() {
      return isFit;
    },
    end,
    async decode(picture) {
      const { promise, resolve } = Promise.withResolvers<DecoderReply | "exit" | "late">();
      const hear = (message: DecoderReply) => message.kind !== "ready" && resolve(message);
      const exited = () => resolve("exit");
      const timer = setTimeout(() => resolve("late"), wallTimeoutMs);
      child.on("message", hear);
      child.once("exit", exited);
      // The event loop must stay alive while somebody waits.
      child.channel?.ref();
      try {
        if (!isFit) return isEnded ? "ended" : exitedWith(child, isReady);
        child.send(orderOf(picture), () => {});
        const reply = await promise;
        if (reply === "late") {
          end();
          return { lost: timedOut() };
        }
        if (reply === "exit") return isEnded ? "ended" : exitedWith(child, isReady);
        switch (reply.kind) {
          case "ready":
            throw new Error("This is a bug: a decoder was ready twice.");
          case "decoded":
            if (reply.grownBytes > MAX_KEPT_BYTES) end();
            return reply.result.ok ? success(pixelsOf(reply.result.value)) : reply.result;
          case "exceeded":
            end();
            return reply.limit === "time" ? timedOut() : tooCostly();
          case "error":
            end();
            throw new Error(reply.message);
        }
      } finally {
        clearTimeout(timer);
        child.off("message", hear);
        child.off("exit", exited);
        child.channel?.unref();
      }
    },
  };
}

function tooCostly(reason?: string): Result<never> {
  const detail = "Decoding took far more memory than a picture of this size needs.";
  return failure("too-costly", detail, reason === undefined ? {} : { reason });
}

function exitedWith(child: ChildProcess, wasReady: boolean): LostDecoder {
  const how = child.exitCode ?? child.signalCode;
  if (wasReady) return { lost: tooCostly(`the decoder process ended with ${how}`) };
  if (child.pid === undefined) {
    const reason =
      "no decoder process can be started: the limit of open files or of processes is reached (ulimit -n and -u)";
    throw new FailureError({ ...NO_DECODER, reason });
  }
  throw new Error(`The decoder process ended with ${how} before it was ready.`);
}

/** Where the machine's owner keeps additional libraries. */
function libraryPath(): Record<string, string> {
  const path = process.env.LD_LIBRARY_PATH;
  return path === undefined ? {} : { LD_LIBRARY_PATH: path };
}
