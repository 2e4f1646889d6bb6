/**
 * `npm run cms`: the whole demo on this machine. Installs and builds the Payload site of `plugin/payload/dev`, starts the
 * API behind it, uploads sample pictures, prints address and password, and stops all of it on Ctrl-C.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as z from "zod";

const USAGE = `usage: npm run cms [-- --port N] [-- --api URL]
  --port  port of the admin panel; 3000 by default
  --api   a caption API that runs already; one is started otherwise`;

const LOOPBACK = "127.0.0.1";
const OWN_API = `http://${LOOPBACK}:8787`;
const API_READY_WITHIN_MS = 180_000;
const SITE_READY_WITHIN_MS = 60_000;
const POLL_EVERY_MS = 200;
const STOP_WITHIN_MS = 15_000;
const EDITOR = { email: "editor@example.org", password: "alt-text" };

const root = fileURLToPath(new URL("..", import.meta.url));
const plugin = join(root, "plugin/payload");
const data = join(root, ".cache/cms");

/** What is uploaded once; the last one with words of a person. */
const SAMPLES: readonly (readonly [string, string | undefined])[] = [
  ["astronaut.jpg", undefined],
  ["cat.jpg", undefined],
  ["rocket.jpg", "A rocket on its launch pad at dusk, words that a person wrote"],
];

const Options = z.object({
  port: z.coerce.number().int().min(1).max(65_535).default(3000),
  api: z.url({ protocol: /^https?$/ }).optional(),
});

/** Something that the caller can act on; the message says what. */
class CmsError extends Error {
  override readonly name = "CmsError";
}

const running = new Set<ChildProcess>();
let isStopping = false;

async function main(): Promise<number> {
  const { port, api } = parseOptions();
  await requireFree(port);
  const environment = {
    PAYLOAD_CONFIG_PATH: join(plugin, "dev/payload.config.ts"),
    SITE_DATA: data,
    CAPTION_API: api ?? OWN_API,
    NEXT_TELEMETRY_DISABLED: "1",
  };
  const bin = (path: string) => join(plugin, "node_modules", path);
  await step("Client", () =>
    finish([join(root, "node_modules/typescript/bin/tsc"), "--project", "client/tsconfig.build.json"], root),
  );
  if (!(await isInstalled()))
    await step("Payload, some 1,000 MB, once", () => finish([...npm(), "ci"], plugin));
  await step("Plugin", () => finish([bin("typescript/bin/tsc"), "--project", "tsconfig.build.json"], plugin));
  await step("Components", () => finish([bin("payload/bin.js"), "generate:importmap"], plugin, environment));
  await step("Admin panel", () => finish([bin("next/dist/bin/next"), "build", "dev"], plugin, environment));
  await mkdir(data, { recursive: true });
  await step("Database", () =>
    finish([bin("payload/bin.js"), "run", "dev/seed.ts"], plugin, {
      ...environment,
      NODE_ENV: "development",
    }),
  );

  if (api === undefined && !(await isUp(`${OWN_API}/readyz`))) {
    const service = start(["commands/start.ts"], root, {});
    await step("Caption API", () => untilUp(`${OWN_API}/readyz`, API_READY_WITHIN_MS, service));
  }
  const address = `http://${LOOPBACK}:${port}`;
  const site = start(
    [bin("next/dist/bin/next"), "start", "dev", "-H", LOOPBACK, "-p", String(port)],
    plugin,
    {
      ...environment,
      NODE_ENV: "production",
    },
  );
  await step("Site", () => untilUp(`${address}/api/users/me`, SITE_READY_WITHIN_MS, site));
  await step("Sample pictures", () => uploadSamples(address));
  console.log(`
Ready.
  admin panel: ${address}/admin
  editor:      ${EDITOR.email}, password ${EDITOR.password}
  reader:      reader@example.org, password ${EDITOR.password}
Ctrl-C stops it. Its pictures and database are in .cache/cms.`);
  const died = await Promise.race([...running].map((child) => once(child, "exit").then(() => child)));
  if (isStopping) return 0;
  throw new CmsError(
    `${died.spawnargs.slice(1, 3).join(" ")} ended with status ${died.exitCode}; see its lines above.`,
  );
}

function parseOptions(): z.infer<typeof Options> {
  try {
    const { values } = parseArgs({ options: { port: { type: "string" }, api: { type: "string" } } });
    return Options.parse(values);
  } catch (error) {
    const message = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    console.error(`${message}\n${USAGE}`);
    process.exit(2);
  }
}

/** Before anything is installed or built. */
async function requireFree(port: number): Promise<void> {
  const server = createServer();
  try {
    server.listen(port, LOOPBACK);
    await once(server, "listening");
  } catch {
    throw new CmsError(`Port ${port} is taken: npm run cms -- --port N`);
  } finally {
    server.close();
  }
}

/** What the lockfile says is there. */
async function isInstalled(): Promise<boolean> {
  const changedAt = (path: string) =>
    stat(join(plugin, path)).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
  return (await changedAt("node_modules/.package-lock.json")) >= (await changedAt("package-lock.json"));
}

/** npm as it has started this command. */
function npm(): readonly string[] {
  const path = process.env.npm_execpath;
  if (path === undefined) throw new CmsError("Start it by npm: npm run cms");
  return [path];
}

/** One line a step, with its seconds; on a terminal they count up. */
async function step(name: string, body: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  const isTerminal = process.stderr.isTTY;
  const show = () => process.stderr.write(`\r${name} ... ${seconds()} s`);
  const timer = isTerminal ? setInterval(show, 1000) : undefined;
  if (!isTerminal) process.stderr.write(`${name} ...\n`);
  try {
    await body();
    process.stderr.write(isTerminal ? `\r${name}, ${seconds()} s\u001b[K\n` : `${name}, ${seconds()} s\n`);
  } finally {
    clearInterval(timer);
  }
}

function start(args: readonly string[], cwd: string, environment: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "inherit"],
    // A group of its own: Ctrl-C reaches only this process, which then stops the others.
    detached: true,
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/** Runs a program to its end; what it prints is shown only where it fails. */
async function finish(
  args: readonly string[],
  cwd: string,
  environment: Record<string, string> = {},
): Promise<void> {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const [code] = await once(child, "close");
  running.delete(child);
  if (code !== 0 && !isStopping)
    throw new CmsError(`${output}\n${basename(args[0] ?? "")} ended with status ${code}.`);
}

async function isUp(url: string): Promise<boolean> {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function untilUp(url: string, withinMs: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await isUp(url))) {
    if (child.exitCode !== null)
      throw new CmsError(`It ended with status ${child.exitCode}; see its lines above.`);
    if (Date.now() > deadline) throw new CmsError(`${url} did not answer within ${withinMs / 1000} s.`);
    await new Promise((wake) => setTimeout(wake, POLL_EVERY_MS));
  }
}

const Login = z.object({ token: z.string() });
const Found = z.object({ totalDocs: z.number() });

/** Uploads what is not there yet. */
async function uploadSamples(address: string): Promise<void> {
  const json = { "content-type": "application/json" };
  const login = await fetch(`${address}/api/users/login`, {
    method: "POST",
    headers: json,
    body: JSON.stringify(EDITOR),
  });
  if (!login.ok) throw new CmsError("The editor cannot log in: delete .cache/cms and start again.");
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
    if (!uploaded.ok) throw new CmsError(`${name} could not be uploaded: status ${uploaded.status}.`);
  }
}

async function stopAll(): Promise<void> {
  isStopping = true;
  const kill = (child: ChildProcess, signal: "SIGTERM" | "SIGKILL") => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // It is gone.
    }
  };
  await Promise.all(
    [...running].map(async (child) => {
      const exited = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
      kill(child, "SIGTERM");
      const timer = setTimeout(() => kill(child, "SIGKILL"), STOP_WITHIN_MS);
      await exited;
      clearTimeout(timer);
    }),
  );
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    await stopAll();
    process.exit(0);
  });
}
try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof CmsError ? error.message : error);
  process.exitCode = 1;
} finally {
  await stopAll();
}
