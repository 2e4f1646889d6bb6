/** Runs our Python scripts for a measurement. */

import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { MeasurementError } from "./report.ts";

/** How much of a script's standard error is kept: enough to see what went wrong. */
const KEPT_ERROR_CHARACTERS = 4096;

/**
 * Runs `script`, a path from the project's folder, and returns what it prints.
 * @throws MeasurementError if there is no such Python or a package is missing, with what to install
 */
export async function runPython(python: string, script: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(python, [pathOf(script), ...args]);
    return stdout;
  } catch (cause) {
    const { code, stderr = "" } = cause as { readonly code?: unknown; readonly stderr?: string };
    throw failureOf({ python, script, code, stderr, cause });
  }
}

/** A script that answers each line with one line. */
export interface PythonProcess {
  /** Sends `order` as JSON and reads the answer, one order at a time. @throws MeasurementError as `runPython` does */
  ask(order: unknown): Promise<unknown>;
  /** Ends the script by ending its input. */
  stop(): void;
}

/** Starts `script` and keeps it running. */
export function startPython(python: string, script: string, args: readonly string[]): PythonProcess {
  const child = spawn(python, [pathOf(script), ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-KEPT_ERROR_CHARACTERS);
  });
  const ended = new Promise<unknown>((resolve) => {
    child.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code)).once("close", resolve);
  });
  // A write to an ended process fails, but its end is noticed anyway.
  child.stdin.on("error", () => {});
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(order) {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      const answer = await answers.next();
      if (answer.done) throw failureOf({ python, script, code: await ended, stderr });
      return JSON.parse(answer.value);
    },
    stop: () => void child.stdin.end(),
  };
}

function pathOf(script: string): string {
  return fileURLToPath(new URL(`../${script}`, import.meta.url));
}

function failureOf(failed: {
  readonly python: string;
  readonly script: string;
  readonly code: unknown;
  readonly stderr: string;
  readonly cause?: unknown;
}): MeasurementError {
  const { python, script, code, stderr, cause } = failed;
  if (code === "ENOENT") {
    return new MeasurementError(`There is no Python at '${python}'. Name one: --python PYTHON`, { cause });
  }
  const missing = /No module named '([^']+)'/.exec(stderr)?.[1];
  return new MeasurementError(
    missing === undefined
      ? `${script} failed: ${stderr.trim().split("\n").at(-1)}`
      : `'${python}' has no package ${missing}. Install what is needed: ${python} -m pip install -r training/requirements.txt`,
    { cause },
  );
}
