/** What the edge tests run beside the edge: real backends with a fake engine, and the commands that read its storage. */

import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { RunningEdge } from "../../local/edge.ts";

export interface RunningBackend {
  readonly url: string;
  readonly process: ChildProcess;
  /** Sizes of the forward passes so far, once there are `count` of them. */
  passes(count: number): Promise<readonly number[]>;
}

/** The real backend with the fake engine, in a process of its own that can be killed. */
export async function startBackend(
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningBackend> {
  const child = fork(new URL("../support/fake-backend-process.ts", import.meta.url), {
    env: {
      NODE_ENV: process.env.NODE_ENV,
      PATH: process.env.PATH,
      PORT: "0",
      LOG_LEVEL: "error",
      ...environment,
    },
    execArgv: [],
  });
  let seen: readonly number[] = [];
  child.on("message", (message: { passes?: number[] }) => {
    seen = message.passes ?? seen;
  });
  const [{ url }] = (await once(child, "message")) as [{ url: string }];
  return {
    url,
    process: child,
    async passes(count) {
      while (seen.length < count) await once(child, "message");
      return seen;
    },
  };
}

/** Runs `npm run -s keys -- ARGS` against the local KV of an edge. */
export async function keys(
  { state }: Pick<RunningEdge, "state">,
  ...args: string[]
): Promise<{ status: number | null; output: string }> {
  const script = fileURLToPath(new URL("../../commands/keys.ts", import.meta.url));
  const child = spawn(process.execPath, [script, ...args, "--persist-to", state]);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, output };
}
