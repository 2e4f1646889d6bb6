/**
 * `npm start`: the whole service on this machine. Builds the embedded bundle if it is missing, starts the backend and, once
 * that has loaded the model, the worker (real workerd, by wrangler), says how to call them, and stops both when it ends
 * itself.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { type Bundle, openBundle } from "../backend/bundle/bundle.ts";
import { graphBytes } from "../backend/bundle/graph-files.ts";
import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../backend/model/embedded.ts";
import { type Child, startChild } from "../local/child.ts";
import { LOOPBACK } from "../local/port-holder.ts";
import {
  envFile,
  ignoredSettings,
  inheritedEnvironment,
  type LocalSettings,
  readLocalSettings,
  SETTINGS_FILE,
  SettingsError,
} from "../local/settings.ts";
import { forwardOutput, tellsOfCrash } from "../local/worker-output.ts";
import { QUIET_WRANGLER, WRANGLER_SCRIPT } from "../local/wrangler.ts";
import { ModelIdentity } from "../shared/schema.ts";
import { CommandError, runCommand, UsageError, userPath } from "./command-line.ts";
import { bundleFolder } from "./options.ts";
import { Port, requireFreePorts } from "./ports.ts";
import { formatBytes, printLines, progressLine, whileWaiting } from "./progress.ts";
import { printable } from "./terminal-text.ts";
import { aborted, answersOk, whileAlive } from "./waiting.ts";

const PARENT_POLL_MS = 250;
/** Milliseconds for the backend's last answers to pass through the worker. */
const HAND_ON_MS = 200;
/** workerd starts within seconds; a model may take as long as it likes while its process lives. */
const WORKER_READY_WITHIN_MS = 60_000;
/** How long to wait for a worker whose runtime crashed; wrangler restarts it within a second. */
const WORKER_BACK_WITHIN_MS = 10_000;

const Options = z.object({
  bundle: bundleFolder,
  port: Port.default(8787).describe("Port of the API and its pages."),
  "backend-port": Port.default(8788).describe("Port of the captioner behind it."),
});

const COMMAND = {
  invocation: "npm start --",
  summary:
    "Runs the whole service on this machine: captioner, API and pages, without an account or a network.",
  arguments: z.tuple([], "expected no arguments besides the options"),
  options: Options,
  examples: ["npm start", "npm start -- --bundle bundles/blip --port 9000 --backend-port 9001"],
  notes: `Settings of the backend and the worker come from ${SETTINGS_FILE} in the project's folder, one NAME=value per line; those that the shell exports are not used. docs/run.md lists them.`,
} as const;

const root = fileURLToPath(new URL("..", import.meta.url));

/** Aborted by the first signal, so that everything that waits stops waiting. */
const interruption = new AbortController();
const children: Child[] = [];

async function main({ options }: { options: z.output<typeof Options> }): Promise<number> {
  endWithWhoeverStartedThis();
  try {
    return await run(options);
  } catch (error) {
    if (interruption.signal.aborted) return 0;
    throw error instanceof SettingsError ? new UsageError(error.message, { cause: error }) : error;
  } finally {
    // The backend is stopped first: it finishes what it accepted, and the worker, which has no such shutdown, passes that
    // on.
    const [backend, ...others] = children;
    await backend?.stop();
    if (others.length > 0) await sleep(HAND_ON_MS);
    await Promise.all(others.map((child) => child.stop()));
  }
}

async function run(options: z.output<typeof Options>): Promise<number> {
  const { port, "backend-port": backendPort } = options;
  if (port === backendPort) throw new UsageError(`--port and --backend-port are both ${port}`);
  await requireFreePorts("npm start", { "--port": port, "--backend-port": backendPort });
  const settings = await readLocalSettings(resolve(root, SETTINGS_FILE));
  const ignored = ignoredSettings(process.env);
  if (ignored.length > 0) {
    console.error(
      `Not used from the shell: ${ignored.join(", ")}. Settings of npm start are in ${SETTINGS_FILE}.`,
    );
  }
  const folder = options.bundle === undefined ? EMBEDDED_BUNDLE : userPath(options.bundle);
  const bundle = options.bundle === undefined ? await embedded() : await openBundle(folder);

  const { signal } = interruption;
  const label = `Loading the model (${formatBytes(await graphBytes(bundle.graphPath))})`;
  const backend = startBackend(settings, { folder, port: backendPort });
  const loaded = answersOk(`http://${LOOPBACK}:${backendPort}/readyz`, { signal });
  await whileWaiting(label, whileAlive(backend, loaded, signal));
  const { id, revision } = await servedModel(backendPort, settings.backend.BACKEND_SECRET);
  console.log(printable(`Model ${id}, revision ${revision}`));

  const { worker, lost } = await startWorker(settings, { port, backendPort });
  const ready = answersOk(`http://${LOOPBACK}:${port}/readyz`, { withinMs: WORKER_READY_WITHIN_MS, signal });
  await whileWaiting("Starting the API", whileAlive(worker, ready, signal));
  printHowTo(`http://${LOOPBACK}:${port}`);
  await Promise.race([lost, ...children.map((child) => whileAlive(child, aborted(signal), signal))]);
  return 0;
}

/** Ends the service on every signal that tells this process to end, and when the process that started it has ended. */
function endWithWhoeverStartedThis(): void {
  const end = () => {
    // Whoever asks twice does not want to wait.
    if (interruption.signal.aborted) for (const child of children) void child.stop("SIGKILL");
    // Before there is a child, nothing waits for the signal, and a half-built bundle removes itself on exit.
    if (children.length === 0) process.exit(0);
    interruption.abort(new Error("interrupted"));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  // npm passes SIGTERM to a shell, which dies without passing it on.
  if (process.env.npm_lifecycle_event !== "start") return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent && !interruption.signal.aborted) end();
  }, PARENT_POLL_MS).unref();
}

function embedded(): Promise<Bundle> {
  return openEmbeddedBundle(progressLine("Building the embedded model"));
}

function startBackend(
  settings: LocalSettings,
  { folder, port }: { readonly folder: string; readonly port: number },
): Child {
  const backend = startChild("backend", ["backend/main.ts"], {
    cwd: root,
    env: {
      ...inheritedEnvironment(process.env),
      LOG_LEVEL: "warn",
      ...settings.backend,
      HOST: LOOPBACK,
      PORT: String(port),
      BUNDLE: folder,
    },
  });
  createInterface(backend.stdout).on("line", (line) => printLines(process.stdout, `${line}\n`));
  createInterface(backend.stderr).on("line", (line) => printLines(process.stderr, `${line}\n`));
  children.push(backend);
  return backend;
}

/** Starts the worker; `lost` rejects once its runtime has crashed and not come back. */
async function startWorker(
  settings: LocalSettings,
  { port, backendPort }: { readonly port: number; readonly backendPort: number },
): Promise<{ readonly worker: Child; readonly lost: Promise<never> }> {
  const variables = resolve(root, `.wrangler/start-${port}.env`);
  await mkdir(resolve(root, ".wrangler"), { recursive: true });
  const given = { ...settings.worker, BACKEND_URLS: `http://${LOOPBACK}:${backendPort}` };
  // It may hold a secret.
  await writeFile(variables, envFile({ LOG_LEVEL: "warn", ...given }), { mode: 0o600 });
  const files = ["worker/dev.vars", variables].flatMap((file) => ["--env-file", file]);
  // The inspector gets any free port, because wrangler searches upwards from Node's own 9229, and another start may have
  // found the same one.
  const ports = ["--port", String(port), "--inspector-port", "0"];
  const worker = startChild("worker", [WRANGLER_SCRIPT, "dev", ...files, ...ports, "--log-level", "warn"], {
    cwd: root,
    env: { ...inheritedEnvironment(process.env), ...QUIET_WRANGLER },
  });
  const { promise: lost, reject } = Promise.withResolvers<never>();
  lost.catch(() => {});
  const forward = (to: NodeJS.WritableStream) => (text: string) => {
    printLines(to, text);
    if (tellsOfCrash(text)) requireBack(`http://${LOOPBACK}:${port}/healthz`).catch(reject);
  };
  forwardOutput(worker.stdout, forward(process.stdout));
  forwardOutput(worker.stderr, forward(process.stderr));
  children.push(worker);
  return { worker, lost };
}

/**
 * Waits for the worker to answer again. wrangler does not restart the runtime in front of the worker's own, which then
 * accepts requests and answers none.
 */
async function requireBack(url: string): Promise<void> {
  const { signal } = interruption;
  try {
    await answersOk(url, { withinMs: WORKER_BACK_WITHIN_MS, signal });
  } catch (cause) {
    throw new CommandError("The worker's runtime crashed and did not come back: start it again.", { cause });
  }
}

/** The model that the backend serves. It chose one of the bundle's precisions, each of which has a revision of its own. */
async function servedModel(backendPort: number, secret: string | undefined): Promise<ModelIdentity> {
  const headers = new Headers(secret === undefined ? {} : { authorization: `Bearer ${secret}` });
  const response = await fetch(`http://${LOOPBACK}:${backendPort}/v1/model`, { headers });
  return ModelIdentity.parse(await response.json());
}

function printHowTo(url: string): void {
  console.log(`
Ready.
  curl --data-binary @photo.jpg ${url}/v1/captions
  desk:       ${url}/
  API:        ${url}/docs
Ctrl-C stops it.`);
}

await runCommand(COMMAND, main, { keepsSignals: true });
process.exit();
