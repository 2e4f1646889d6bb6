/** For measurements: a backend in a process of its own, and pictures to send it. */

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { hasEnded } from "../local/has-ended.ts";

export interface BackendProcess {
  readonly url: string;
  readonly pid: number;
  /** One value of its `/metrics`, labels ignored. */
  metric(name: string): Promise<number>;
  /** SIGTERM; resolves once the process has ended. */
  stop(): Promise<void>;
  /** SIGKILL, as a crash would be. */
  kill(): Promise<void>;
}

/** Starts `backend/main.ts` on a free port with these variables; resolves once it listens. */
export async function startBackend(environment: Record<string, string>): Promise<BackendProcess> {
  const child = fork(fileURLToPath(new URL("../backend/main.ts", import.meta.url)), {
    // The whole environment: CUDA and Vulkan are found by it.
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
      // Still read, or the full pipe would stop its logging.
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

/** A 500 x 375 JPEG of soft colours and some noise, about as heavy as a photograph. */
export async function photograph(seed: number): Promise<Uint8Array<ArrayBuffer>> {
  const noise = { type: "gaussian", mean: 128, sigma: 40 } as const;
  const background = { r: (seed * 53) % 256, g: (seed * 97) % 256, b: (seed * 31) % 256 };
  const jpeg = await sharp({ create: { width: 125, height: 94, channels: 3, background, noise } })
    .resize(500, 375)
    .jpeg({ quality: 85 })
    .toBuffer();
  return Uint8Array.from(jpeg);
}

/** `file` with bytes after its end, which decoders skip: the same picture under another hash. */
export function distinct(file: Uint8Array, number: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat([file, Buffer.from(String(number))]));
}
