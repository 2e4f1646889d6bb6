/** A Postgres of this machine in a folder of its own, for the tests that want one. */

import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";
import { freePort } from "../../../local/local-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Address of a Postgres server. */
    postgres: string | undefined;
  }
}

/** Debian keeps the server's programs off the path. */
const env = {
  ...process.env,
  PATH: [process.env.PATH, ...globSync("/usr/lib/postgresql/*/bin")].join(path.delimiter),
};
const run = promisify(execFile);

/** Postgres refuses to run as root: then as the user that Debian's package has made. */
function account(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) =>
    Number(execFileSync("id", [flag, "postgres"], { stdio: ["ignore", "pipe", "ignore"] }));
  return { uid: id("-u"), gid: id("-g") };
}

/** Before all tests, and until their processes are gone: Payload keeps its connections for as long. */
export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  let as: ReturnType<typeof account>;
  try {
    as = account();
    await run("postgres", ["--version"], { env });
    await run("initdb", ["--version"], { env });
  } catch {
    console.warn("There is no Postgres here: its tests are skipped.");
    project.provide("postgres", undefined);
    return undefined;
  }
  const folder = await mkdtemp(path.join(tmpdir(), "postgres-"));
  if (as.uid !== undefined && as.gid !== undefined) await chown(folder, as.uid, as.gid);
  const data = path.join(folder, "data");
  const options = { ...as, cwd: folder, env };
  await run("initdb", ["-D", data, "-U", "site", "--auth=trust", "--no-sync"], options);
  const port = await freePort();
  const server: ChildProcess = spawn(
    "postgres",
    ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off"],
    { ...options, stdio: ["ignore", "ignore", "pipe"] },
  );
  let output = "";
  server.stderr?.on("data", (chunk) => (output += chunk));
  while (!output.includes("ready to accept connections")) {
    if (server.exitCode !== null) throw new Error(`postgres ended:\n${output}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
  project.provide("postgres", `postgres://site@127.0.0.1:${port}`);
  return async () => {
    const ended = once(server, "exit");
    server.kill("SIGQUIT");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
}
