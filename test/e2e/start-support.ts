/** `npm start` as a process of its own, on ports of its own, and what is left of it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../local/local-server.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface StartedService {
  readonly process: ChildProcess;
  readonly url: string;
  readonly backendUrl: string;
  /** What it has printed so far. */
  output(): string;
  /** Resolves once `text` was printed. */
  printed(text: string): Promise<void>;
  /** Its exit status, once it has ended and all that it has printed is read. */
  status(): Promise<number | null>;
  /** Command lines of the processes that belong to it and still live, known by their ports. */
  survivors(): Promise<string[]>;
  /** Those of them with `mark` in their command line. */
  pids(mark: string): Promise<number[]>;
}

/** Starts it with this Node, or through npm as a newcomer does. */
export async function startService(
  options: {
    readonly args?: readonly string[];
    readonly environment?: Readonly<Record<string, string>>;
    readonly throughNpm?: boolean;
    readonly ports?: readonly [number, number];
  } = {},
): Promise<StartedService> {
  const [port, backendPort] = options.ports ?? [await freePort(), await freePort()];
  const args = ["--port", String(port), "--backend-port", String(backendPort), ...(options.args ?? [])];
  const [program, before] = options.throughNpm
    ? ["npm", ["start", "--"]]
    : [process.execPath, ["commands/start.ts"]];
  const { npm_lifecycle_event: _ours, ...environment } = process.env;
  const child = spawn(program, [...before, ...args], {
    cwd: ROOT,
    env: {
      ...environment,
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      ...options.environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const members = () => processesNaming([`--port ${port}`, `entry=127.0.0.1:${port}`, `PORT=${backendPort}`]);
  // Not when it exits: what it has printed is read by then.
  const ended = once(child, "close") as Promise<[number | null]>;
  return {
    process: child,
    url: `http://127.0.0.1:${port}`,
    backendUrl: `http://127.0.0.1:${backendPort}`,
    output: () => output,
    async printed(text) {
      while (!output.includes(text)) {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`npm start ended:\n${output}`);
        await new Promise((wake) => setTimeout(wake, 20));
      }
    },
    status: async () => (await ended)[0],
    survivors: async () => (await members()).map(({ command }) => command),
    pids: async (mark) =>
      (await members()).filter(({ command }) => command.includes(mark)).map(({ pid }) => pid),
  };
}

/** Processes that have one of `marks` in their arguments or environment. proc(5) */
async function processesNaming(marks: readonly string[]): Promise<{ pid: number; command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const read = async (file: string) =>
      (await readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "")).replaceAll("\0", " ");
    const [command, environment] = [await read("cmdline"), await read("environ")];
    const isZombie = command === "";
    if (!isZombie && marks.some((mark) => `${command}${environment}`.includes(`${mark} `))) {
      found.push({ pid: Number(pid), command });
    }
  }
  return found;
}
