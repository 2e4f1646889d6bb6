/** For measurements: a backend in a process of its own, and pictures to send to it. */

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { hasEnded } from "../local/has-ended.ts";

export interface BackendProcess {
  readonly url: string;
  readonly pid: number;
  /** One value from its `/metrics`, ignoring labels. */
  metric(name: string): Promise<number>;
  /** Sends SIGTERM, and resolves once the process has ended. */
  stop(): Promise<void>;
  /** Sends SIGKILL, which acts like a crash. */
  kill(): Promise<void>;
}

/** Starts `backend/main.ts` on a free port with these variables, and resolves once it listens. */
export async function startBackend(environment: Record<string, string>): Promise<BackendProcess> {
  const child = fork(fileURLToPath(new URL("../backend/main.ts", import.meta.url)), {
    // The whole environment is passed on, because CUDA and Vulkan are found by it.
    env: { ...process.env, PORT: "0", ...environment },
    silent: true,
  });
  child.stderr?.pipe(process.stderr);
  const url = await new Promise<string>((resolve, reject) => {
    let lines = "";
    child.stdout?.on("data", function readAddress(chunk) {
      lines += chunk;
      const listening = /"url":"([^"]+)"/.exec(lines)?.[1];
      if (listening === undefined) return;
      resolve(listening);
      // Reading goes on, because a full pipe would stop the backend's logging.
      child.stdout?.off("data", readAddress).resume();
    });
    child.once("exit", (code) => reject(new Error(`The backend ended with ${code} before it listened.`)));
  });
  async function end(signal: NodeJS.Signals): Promise<void> {
    if (hasEnded(child)) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  if (child.pid === undefined) throw new Error("This is a bug: it listens without a process.");
  return {
    url,
    pid: child.pid,
    async metric(name) {
      const text = await (await fetch(`${url}/metrics`)).text();
      return Number(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, "m").exec(text)?.[1]);
    },
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
  };
}

/** A 500 x 375 JPEG of soft colours with some noise, about as costly as a photograph. */
export async function photograph(seed: number): Promise<Uint8Array<ArrayBuffer>> {
  const noise = { type: "gaussian", mean: 128, sigma: 40 } as const;
  const background = { r: (seed * 53) % 256, g: (seed * 97) % 256, b: (seed * 31) % 256 };
  const jpeg = await sharp({ create: { width: 125, height: 94, channels: 3, background, noise } })
    .resize(500, 375)
    .jpeg({ quality: 85 })
    .toBuffer();
  return Uint8Array.from(jpeg);
}

/** `file` with extra bytes after its end, which decoders skip: the same picture with another hash. */
export function distinct(file: Uint8Array, number: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat([file, Buffer.from(String(number))]));
}
