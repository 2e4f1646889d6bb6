/** Runs a command of commands/ as a process of its own, as `npm run` does. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export async function runCommand(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
  input?: Uint8Array,
): Promise<{ stdout: string; stderr: string; status: number | null }> {
  const child = spawn(process.execPath, [`commands/${command}.ts`, ...args], {
    cwd: ROOT,
    // Whoever runs the tests may stand in another folder.
    env: { ...process.env, INIT_CWD: undefined, ...environment },
  });
  child.stdin.end(input);
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit") as Promise<[number | null]>,
  ]);
  return { stdout, stderr, status };
}
