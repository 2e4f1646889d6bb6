/**
 * A child process in a process group of its own, which ends together with everything that it started, and never outlives
 * this process.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { hasEnded } from "./has-ended.ts";

const STOP_WITHIN_MS = 5_000;

export interface Child {
  readonly name: string;
  /** Resolves with the status or signal when it has ended, by itself or by a signal. */
  readonly ended: Promise<string>;
  readonly hasFailed: boolean;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Sends SIGTERM to the whole group, SIGKILL after five seconds or at once; resolves when the child is gone. */
  stop(how?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** Starts Node with `args` and exactly this environment. */
export function startChild(
  name: string,
  args: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Child {
  const child: ChildProcess = spawn(
    process.execPath,
    ["--import", new URL("end-with-parent.ts", import.meta.url).href, ...args],
    {
      cwd,
      env: { ...env, END_WITH_PARENT_FD: "3" },
      // The last pipe stays open as long as this process lives.
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      // A group of its own: Ctrl-C reaches only this process, which then stops its children in order.
      detached: true,
    },
  );
  let stopping = false;
  const exited = once(child, "exit");
  const ended = exited.then(([code, signal]) => (signal === null ? `status ${code}` : `signal ${signal}`));
  const [stdout, stderr] = [child.stdout, child.stderr];
  if (stdout === null || stderr === null) throw new Error("This is a bug: a piped stream is not there.");
  return {
    name,
    ended,
    stdout,
    stderr,
    get hasFailed() {
      return !stopping && (child.signalCode !== null || (child.exitCode !== null && child.exitCode !== 0));
    },
    async stop(how = "SIGTERM") {
      if (!hasEnded(child)) stopping = true;
      const kill = (signal: "SIGTERM" | "SIGKILL") => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, signal);
        } catch {
          // Nobody is left in the group.
        }
      };
      kill(how);
      const timer = setTimeout(() => kill("SIGKILL"), STOP_WITHIN_MS);
      await exited;
      // A child that died by itself may have left behind what it started.
      kill("SIGKILL");
      clearTimeout(timer);
    },
  };
}
