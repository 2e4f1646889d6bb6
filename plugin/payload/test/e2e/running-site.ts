/** The built site of dev/, running, with a database of its own, and a headless browser that is logged in. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { freePort } from "../../../../local/local-server.ts";

const run = promisify(execFile);
export const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));
const bin = (name: string) => path.join(PACKAGE, "node_modules", name);
export const NEXT = bin("next/dist/bin/next");
const PAYLOAD = bin("payload/bin.js");

export interface RunningSite {
  readonly url: string;
  readonly browser: Browser;
  /** A page of somebody who is logged in. */
  login(who: "editor" | "reader"): Promise<Page>;
  /** Calls the site's API as the editor. */
  api(path: string, init?: RequestInit): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

/** Presses save, and waits until it is done: the toast that says so may still be that of the save before. */
export async function save(page: Page): Promise<void> {
  const [saved] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === "PATCH"),
    page.click("#action-save"),
  ]);
  if (!saved.ok()) throw new Error(`It was not saved: ${saved.status()} ${await saved.text()}`);
  await page.waitForSelector(".payload-toast-container .toast-success");
}

/** Starts the site that `next build dev` has made, with these locales where there are any. */
export async function startRunningSite(
  captionApi: string,
  locales: readonly string[] = [],
): Promise<RunningSite> {
  const folder = await mkdtemp(path.join(tmpdir(), "site-"));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const environment = {
    ...process.env,
    SITE_DATA: folder,
    CAPTION_API: captionApi,
    ...(locales.length > 0 && { SITE_LOCALES: locales.join(",") }),
    PAYLOAD_CONFIG_PATH: path.join(PACKAGE, "dev/payload.config.ts"),
    NEXT_TELEMETRY_DISABLED: "1",
  };
  await run(process.execPath, [PAYLOAD, "run", "dev/seed.ts"], {
    cwd: PACKAGE,
    env: { ...environment, NODE_ENV: "development" },
  });
  const server: ChildProcess = spawn(
    process.execPath,
    [NEXT, "start", "dev", "-H", "127.0.0.1", "-p", String(port)],
    {
      cwd: PACKAGE,
      env: { ...environment, NODE_ENV: "production" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [server.stdout, server.stderr]) stream?.on("data", (chunk) => (output += chunk));
  while (
    !(await fetch(`${url}/api/users/me`).then(
      (response) => response.ok,
      () => false,
    ))
  ) {
    if (server.exitCode !== null) throw new Error(`The site ended:\n${output}`);
    await new Promise((wake) => setTimeout(wake, 200));
  }
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
  const contexts = new Map<string, BrowserContext>();
  const password = "alt-text";

  async function contextOf(who: string): Promise<BrowserContext> {
    const known = contexts.get(who);
    if (known !== undefined) return known;
    const context = await browser.newContext({ baseURL: url, viewport: { width: 1280, height: 1000 } });
    contexts.set(who, context);
    const page = await context.newPage();
    await page.goto("/admin/login");
    await page.fill("#field-email", `${who}@example.org`);
    await page.fill("#field-password", password);
    await page.click(".form-submit button");
    await page.waitForURL(/\/admin\/?$/);
    await page.close();
    return context;
  }
  const signedIn = await fetch(`${url}/api/users/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: "editor@example.org", password }),
  });
  const { token } = (await signedIn.json()) as { token: string };

  return {
    url,
    browser,
    async login(who) {
      const page = await (await contextOf(who)).newPage();
      page.setDefaultTimeout(60_000);
      return page;
    },
    async api(at, init = {}) {
      const headers = new Headers(init.headers);
      headers.set("authorization", `JWT ${token}`);
      const response = await fetch(`${url}/api${at}`, { ...init, headers });
      return (await response.json()) as Record<string, unknown>;
    },
    async stop() {
      await browser.close();
      const ended = once(server, "exit");
      server.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
