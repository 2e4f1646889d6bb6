/**
 * `npm start`: the whole service on this machine. Builds the embedded bundle where it is missing, starts backend and
 * worker (real workerd, by wrangler), says how to call them, and stops both on Ctrl-C.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { openBundle } from "../backend/bundle/bundle.ts";
import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../backend/model/embedded.ts";
import { QUIET_WRANGLER, WRANGLER_SCRIPT } from "../local/wrangler.ts";
import { parseCommandLine, progressLine, runCommand } from "./command-line.ts";
import { printable } from "./terminal-text.ts";

const USAGE = `usage: npm start [-- --bundle DIR]
  --bundle  a bundle of 'npm run model:build'; the embedded model by default`;

const BACKEND_URL = "http://127.0.0.1:8788";
const WORKER_URL = "http://127.0.0.1:8787";
const READY_WITHIN_MS = 120_000;
const POLL_EVERY_MS = 150;
const STOP_WITHIN_MS = 15_000;

const Options = z.object({
  files: z.array(z.string()).max(0, "expected no arguments without an option"),
  bundle: z.string().optional(),
});

const root = fileURLToPath(new URL("..", import.meta.url));

async function main(): Promise<number> {
  const { bundle } = parseCommandLine(USAGE, { bundle: { type: "string" } }, Options);
  const { manifest } = bundle
    ? await openBundle(bundle)
    : await openEmbeddedBundle(progressLine("Building the embedded model"));
  console.log(printable(`Model ${manifest.id}, revision ${manifest.revision}`));

  const children = [
    startChild("backend", ["backend/main.ts"], {
      BUNDLE: bundle ? resolve(bundle) : EMBEDDED_BUNDLE,
      LOG_LEVEL: "warn",
    }),
    startChild("worker", [WRANGLER_SCRIPT, "dev", "--env-file", "worker/dev.vars", "--log-level", "warn"], {
      ...QUIET_WRANGLER,
    }),
  ];
  const interrupted = Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]).then(
    () => "interrupted",
  );
  const died = Promise.race(children.map(({ name, process: child }) => once(child, "exit").then(() => name)));

  const ready = Promise.all([answers(`${BACKEND_URL}/readyz`), answers(`${WORKER_URL}/readyz`)]);
  const first = await Promise.race([ready, interrupted, died]);
  if (Array.isArray(first)) {
    printHowTo();
    await Promise.race([interrupted, died]);
  }
  const failed = children.find(({ process: child }) => child.exitCode !== null && child.exitCode !== 0);
  await Promise.all(children.map(({ process: child }) => stop(child)));
  if (failed)
    console.error(`The ${failed.name} stopped with status ${failed.process.exitCode}; see its lines above.`);
  return failed ? 1 : 0;
}

function startChild(name: string, args: readonly string[], environment: Record<string, string>) {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "inherit", "inherit"],
    // A group of its own: Ctrl-C reaches only this process, which then stops both in order.
    detached: true,
  });
  return { name, process: child };
}

async function answers(url: string): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (Date.now() < deadline) {
    const ok = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (ok) return;
    await new Promise((wake) => setTimeout(wake, POLL_EVERY_MS));
  }
  throw new Error(`${url} did not answer within ${READY_WITHIN_MS / 1000} s.`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  process.kill(-child.pid, "SIGTERM");
  const timer = setTimeout(() => child.pid && process.kill(-child.pid, "SIGKILL"), STOP_WITHIN_MS);
  await exited;
  clearTimeout(timer);
}

function printHowTo(): void {
  console.log(`
Ready.
  curl --data-binary @photo.jpg ${WORKER_URL}/v1/captions
  playground: ${WORKER_URL}/
  API:        ${WORKER_URL}/docs
Ctrl-C stops it.`);
}

await runCommand(main);
