/** Starts the worker in real workerd, by `wrangler dev`, for measurements and tests; any number can run side by side. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hasEnded } from "./has-ended.ts";
import { freePort } from "./local-server.ts";
import { LOOPBACK } from "./port-holder.ts";
import { QUIET_WRANGLER, WRANGLER_SCRIPT } from "./wrangler.ts";

const MAX_STARTS = 3;
/**
 * On a busy machine KV and counters are slow. With short timeouts, entries would count as missing, and requests would go
 * uncounted.
 */
const DEFAULTS = { KV_TIMEOUT_MS: "60000", COUNTER_TIMEOUT_MS: "60000" };
const ROOT = fileURLToPath(new URL("..", import.meta.url));

export interface RunningEdge {
  readonly url: string;
  /** Port of the Chrome DevTools Protocol. */
  readonly inspectorPort: number;
  /** Process group of wrangler and its workerd. */
  readonly group: number;
  /** Folder of the local KV. */
  readonly state: string;
  stop(): Promise<void>;
  /** Ends it in the middle of whatever it is doing, and leaves its state. */
  kill(): Promise<void>;
}

/**
 * Starts the worker as `wrangler.toml` configures it, with these variables and a port of its own, on the state that another
 * worker left, or on an empty one.
 */
export async function startEdge(
  variables: Readonly<Record<string, string>>,
  leftState?: string,
): Promise<RunningEdge> {
  const state = leftState ?? (await mkdtemp(join(tmpdir(), "edge-")));
  for (let tries = 1; ; tries++) {
    try {
      return await startOver(state, variables);
    } catch (error) {
      // A port that was free a moment ago, for us or for wrangler itself, may be taken now.
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
      ...Object.entries({ ...DEFAULTS, ...variables }).flatMap(([name, value]) => [
        "--var",
        `${name}:${value}`,
      ]),
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
  const url = `http://${LOOPBACK}:${port}`;
  while (!(await answers(`${url}/healthz`))) {
    if (hasEnded(child)) throw new Error(`wrangler dev ended:\n${output}`);
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

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** Stops the whole group, because wrangler has children of its own. */
async function stopGroup(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.pid === undefined || hasEnded(child)) return;
  const exited = once(child, "exit");
  process.kill(-child.pid, signal);
  await exited;
}
