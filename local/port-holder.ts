/** Whether a port of this machine is free, and which program holds it. */

import { execFile } from "node:child_process";
import { readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import { promisify } from "node:util";

export const LOOPBACK = "127.0.0.1";

/** State LISTEN of /proc/net/tcp. */
const LISTENING = "0A";

/** Whether `port` can be listened on now. @throws any other error of the system, such as no permission for the port */
export async function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, LOOPBACK, resolve);
    });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return false;
    throw error;
  } finally {
    server.close();
  }
}

/** Who listens on `port`, e.g. `process 123 (node server.js)`; undefined if this machine does not say. */
export async function portHolder(port: number): Promise<string | undefined> {
  try {
    const pid = await (process.platform === "linux" ? pidByProc(port) : pidByLsof(port));
    return pid === undefined ? undefined : `process ${pid} (${await commandOf(pid)})`;
  } catch {
    return undefined;
  }
}

/** Finds the socket's inode in /proc/net, then the process that has it open, so no tool has to be installed. proc(5) */
async function pidByProc(port: number): Promise<string | undefined> {
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")),
  );
  const sockets = new Set(
    tables
      .flatMap((table) => table.split("\n"))
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, , state]) => local?.endsWith(`:${hexPort}`) && state === LISTENING)
      .map((fields) => `socket:[${fields[9]}]`),
  );
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => "");
      if (sockets.has(target)) return pid;
    }
  }
  return undefined;
}

async function pidByLsof(port: number): Promise<string | undefined> {
  const { stdout } = await promisify(execFile)("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-t"]);
  return stdout.split("\n")[0] || undefined;
}

async function commandOf(pid: string): Promise<string> {
  const { stdout } = await promisify(execFile)("ps", ["-o", "args=", "-p", pid]).catch(async () => ({
    // Without `ps`, as in small images.
    stdout: (await readFile(`/proc/${pid}/cmdline`, "utf8")).replaceAll("\0", " "),
  }));
  // The path of Node and the modules it loads first do not tell which program it is.
  const command = stdout
    .trim()
    .replace(/^\S*\//, "")
    .replaceAll(/--import \S+ /g, "");
  return command.length > 80 ? `${command.slice(0, 77)}...` : command;
}
