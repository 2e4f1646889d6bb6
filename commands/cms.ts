/**
 * `npm run cms`: the whole demo on this machine. Installs and builds the Payload site of `plugin/payload/dev`, starts the
 * API behind it, uploads sample pictures, prints address and password, and stops all of them when it ends itself.
 */

import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { type Child, startChild } from "../local/child.ts";
import { LOOPBACK } from "../local/port-holder.ts";
import { inheritedEnvironment } from "../local/settings.ts";
import { WebAddress } from "../shared/schema.ts";
import { CommandError, runCommand } from "./command-line.ts";
import { Port, requireFreePorts } from "./ports.ts";
import { whileWaiting } from "./progress.ts";
import { aborted, answersOk, whileAlive } from "./waiting.ts";

const API_READY_WITHIN_MS = 180_000;
const SITE_READY_WITHIN_MS = 60_000;
const EDITOR = { email: "editor@example.org", password: "alt-text" };

const root = fileURLToPath(new URL("..", import.meta.url));
const plugin = join(root, "plugin/payload");
const data = join(root, ".cache/cms");
const installed = (path: string) => join(plugin, "node_modules", path);

/** The pictures that are uploaded once; the last one has a person's words. */
const SAMPLES: readonly (readonly [string, string | undefined])[] = [
  ["astronaut.jpg", undefined],
  ["cat.jpg", undefined],
  ["rocket.jpg", "A rocket on its launch pad at dusk, words that a person wrote"],
];

const Options = z.object({
  port: Port.default(3000).describe("Port of the admin panel."),
  api: z.optional(WebAddress).meta({
    description:
      "Address of a caption API that is already running, with its key in CAPTION_API_KEY; by default, one is started.",
    value: "URL",
  }),
  "api-port": Port.default(8787).describe("Port of the API that is started."),
  "backend-port": Port.default(8788).describe("Port of the captioner behind it."),
});

const COMMAND = {
  invocation: "npm run -s cms --",
  summary:
    "Runs a Payload CMS with the alt text plugin on this machine, and the caption API behind it. Installs Payload first, about 1,000 MB.",
  arguments: z.tuple([], "expected no arguments besides the options"),
  options: Options,
  examples: ["npm run cms", "npm run -s cms -- --port 4000 --api http://127.0.0.1:8787"],
  notes: "Its pictures and database are kept in .cache/cms; delete that folder to start afresh.",
} as const;

const interruption = new AbortController();
const children = new Set<Child>();

async function main({ options }: { options: z.output<typeof Options> }): Promise<number> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => interruption.abort(new Error("interrupted")));
  }
  try {
    await run(options);
    return 0;
  } catch (error) {
    if (interruption.signal.aborted) return 0;
    throw error;
  } finally {
    await Promise.all([...children].map((child) => child.stop()));
  }
}

async function run(options: z.output<typeof Options>): Promise<void> {
  const { port, "api-port": apiPort, "backend-port": backendPort } = options;
  const { signal } = interruption;
  const apiPorts = { "--api-port": apiPort, "--backend-port": backendPort };
  // Checked before anything is installed or built.
  await requireFreePorts("npm run cms", { "--port": port, ...(options.api === undefined && apiPorts) });
  const api = options.api ?? `http://${LOOPBACK}:${apiPort}`;
  const apiKey = options.api === undefined ? undefined : process.env.CAPTION_API_KEY;
  const environment = {
    ...inheritedEnvironment(process.env),
    PAYLOAD_CONFIG_PATH: join(plugin, "dev/payload.config.ts"),
    SITE_DATA: data,
    CAPTION_API: api,
    ...(apiKey !== undefined && { CAPTION_API_KEY: apiKey }),
    NEXT_TELEMETRY_DISABLED: "1",
  };
  const inPlugin = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    finish(args, { cwd: plugin, env: { ...environment, ...more } });

  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await whileWaiting("Building the client", inPlugin([tsc, "--project", "../../client/tsconfig.build.json"]));
  if (!(await isInstalled())) await whileWaiting("Installing Payload", inPlugin([npm(), "ci"]));
  await whileWaiting("Building the plugin", inPlugin([tsc, "--project", "tsconfig.build.json"]));
  const payload = installed("payload/bin.js");
  const next = installed("next/dist/bin/next");
  await whileWaiting("Listing its components", inPlugin([payload, "generate:importmap"]));
  await whileWaiting(
    "Building the admin panel",
    inPlugin([next, "build", "dev"], { NODE_ENV: "production" }),
  );
  await mkdir(data, { recursive: true });
  await whileWaiting(
    "Filling the database",
    inPlugin([payload, "run", "dev/seed.ts"], { NODE_ENV: "development" }),
  );

  if (options.api === undefined) {
    const ports = ["--port", String(apiPort), "--backend-port", String(backendPort)];
    const service = start("caption API", ["commands/start.ts", ...ports], {
      cwd: root,
      env: inheritedEnvironment(process.env),
    });
    const isReady = answersOk(`${api}/readyz`, { withinMs: API_READY_WITHIN_MS, signal });
    await whileWaiting("Starting the caption API", whileAlive(service, isReady, signal));
  }
  const address = `http://${LOOPBACK}:${port}`;
  const site = start("site", [next, "start", "dev", "-H", LOOPBACK, "-p", String(port)], {
    cwd: plugin,
    env: { ...environment, NODE_ENV: "production" },
  });
  const isUp = answersOk(`${address}/api/users/me`, { withinMs: SITE_READY_WITHIN_MS, signal });
  await whileWaiting("Starting the site", whileAlive(site, isUp, signal));
  await whileWaiting("Uploading the samples", uploadSamples(address));
  console.log(`
Ready.
  admin panel: ${address}/admin
  editor:      ${EDITOR.email}, password ${EDITOR.password}
  reader:      reader@example.org, password ${EDITOR.password}
Ctrl-C stops it. Its pictures and database are in .cache/cms.`);
  await Promise.race([...children].map((child) => whileAlive(child, aborted(signal), signal)));
}

/** Whether what the lockfile names is installed. */
async function isInstalled(): Promise<boolean> {
  const changedAt = (path: string) =>
    stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
  const there = await changedAt(installed(".package-lock.json"));
  return there >= (await changedAt(join(plugin, "package-lock.json")));
}

/** The script of the npm that started this command. */
function npm(): string {
  const path = process.env.npm_execpath;
  if (path === undefined) throw new CommandError("npm has to install Payload: start this with npm run cms.");
  return path;
}

interface Place {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Runs a program to its end; its output is shown only if it fails. */
async function finish(args: readonly string[], place: Place): Promise<void> {
  const child = startChild(args[0] ?? "", args, place);
  children.add(child);
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  const ended = await Promise.race([child.ended, aborted(interruption.signal)]);
  children.delete(child);
  if (child.hasFailed)
    throw new CommandError(`${(await output).join("")}\n${child.name} ended with ${ended}.`);
}

/** Starts a program that keeps running; its warnings and errors are shown. */
function start(name: string, args: readonly string[], place: Place): Child {
  const child = startChild(name, args, place);
  child.stdout.resume();
  child.stderr.pipe(process.stderr);
  children.add(child);
  return child;
}

const Login = z.object({ token: z.string() });
const Found = z.object({ totalDocs: z.number() });

/** Uploads the samples that are not there yet. */
async function uploadSamples(address: string): Promise<void> {
  const login = await fetch(`${address}/api/users/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(EDITOR),
  });
  if (!login.ok) throw new CommandError("The editor cannot log in: delete .cache/cms and start again.");
  const headers = { authorization: `JWT ${Login.parse(await login.json()).token}` };
  for (const [name, alt] of SAMPLES) {
    const query = new URLSearchParams({ limit: "1", depth: "0", "where[filename][equals]": name });
    const found = await fetch(`${address}/api/media?${query}`, { headers });
    if (Found.parse(await found.json()).totalDocs > 0) continue;
    const form = new FormData();
    form.append(
      "file",
      new File([await readFile(join(root, "examples", name))], name, { type: "image/jpeg" }),
    );
    form.append("_payload", JSON.stringify(alt === undefined ? {} : { alt }));
    const uploaded = await fetch(`${address}/api/media`, { method: "POST", headers, body: form });
    if (!uploaded.ok) throw new CommandError(`${name} could not be uploaded: status ${uploaded.status}.`);
  }
}

await runCommand(COMMAND, main, { keepsSignals: true });
process.exit();
