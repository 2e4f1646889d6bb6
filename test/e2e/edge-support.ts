/** The running system of the edge tests: real workerd by `wrangler dev`, real backends with a fake engine, rubbish ones. */

import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { QUIET_WRANGLER, WRANGLER_SCRIPT } from "../../local/wrangler.ts";

const MAX_STARTS = 3;
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface RunningEdge {
  readonly url: string;
  /** Port of the Chrome DevTools Protocol. */
  readonly inspectorPort: number;
  /** Process group of wrangler and its workerd. */
  readonly group: number;
  /** Folder of the local KV. */
  readonly state: string;
  stop(): Promise<void>;
  /** Ends it in the middle of whatever it does, and leaves its state. */
  kill(): Promise<void>;
}

/**
 * Starts the worker as `wrangler.toml` has it, with these variables and a port of its own, over the state that another
 * one left, or an empty one.
 */
export async function startEdge(
  variables: Readonly<Record<string, string>>,
  leftState?: string,
): Promise<RunningEdge> {
  const state = leftState ?? (await mkdtemp(path.join(tmpdir(), "edge-")));
  for (let tries = 1; ; tries++) {
    try {
      return await startOver(state, variables);
    } catch (error) {
      // Found free a moment ago, by us or by wrangler for itself, a port may be somebody else's now.
      if (tries === MAX_STARTS || !String(error).includes("Address already in use")) throw error;
    }
  }
}

async function startOver(state: string, variables: Readonly<Record<string, string>>): Promise<RunningEdge> {
  const [port, inspectorPort] = [await freePort(), await freePort()];
  const child = spawn(
    process.execPath,
    [
      WRANGLER_SCRIPT,
      ...["dev", "--env-file", "worker/dev.vars", "--log-level", "error", "--persist-to", state],
      ...["--port", String(port), "--inspector-port", String(inspectorPort)],
      ...Object.entries(variables).flatMap(([name, value]) => ["--var", `${name}:${value}`]),
    ],
    {
      cwd: ROOT,
      env: {
        ...process.env,
        ...QUIET_WRANGLER,
      },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const url = `http://127.0.0.1:${port}`;
  while (!(await answers(`${url}/healthz`))) {
    if (child.exitCode !== null) throw new Error(`wrangler dev ended:\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    url,
    state,
    inspectorPort,
    group: child.pid ?? 0,
    async stop() {
      await stopGroup(child);
      await rm(state, { recursive: true, force: true });
    },
    kill: () => stopGroup(child, "SIGKILL"),
  };
}

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

export interface RubbishServer {
  readonly url: string;
  close(): void;
}

/** A server that answers as it is told. */
export async function startServer(listener: RequestListener): Promise<RubbishServer> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

export async function freePort(): Promise<number> {
  const server = await startServer(() => {});
  server.close();
  return Number(new URL(server.url).port);
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** wrangler has children of its own. */
async function stopGroup(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  process.kill(-child.pid, signal);
  await exited;
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
