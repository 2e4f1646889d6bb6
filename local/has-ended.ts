import type { ChildProcess } from "node:child_process";

/** Whether a child has ended, by itself or by a signal. */
export const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null;
