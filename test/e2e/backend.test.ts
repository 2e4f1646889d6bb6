import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { open, readdir, readFile, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { buildBundle } from "../../backend/model/build.ts";
import { EMBEDDED_BUNDLE } from "../../backend/model/embedded.ts";
import { freePort } from "../../local/local-server.ts";
import { jpegPicture } from "../support/pictures.ts";
import { TINY_BASE, temporaryFolder } from "../support/tiny-blip.ts";

/** Linux has a file whose disk is always full. */
const FULL_DISK = "/dev/full";

interface Backend {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
  /** Resolves once `count` forward passes have begun, with their batch sizes. */
  passes(count: number): Promise<number[]>;
}

let backend: Backend | undefined;

afterEach(() => {
  backend?.process.kill("SIGKILL");
  backend = undefined;
});

async function start(environment: Record<string, string> = {}): Promise<Backend> {
  const child = fork(new URL("../support/fake-backend-process.ts", import.meta.url), {
    env: { PATH: process.env.PATH, PORT: "0", LOG_LEVEL: "error", ...environment },
    // Vitest's own flags are not the product's.
    execArgv: [],
  });
  let seen: number[] = [];
  child.on("message", (message: { passes?: number[] }) => {
    seen = message.passes ?? seen;
  });
  const [{ url }] = (await once(child, "message")) as [{ url: string }];
  backend = {
    url,
    port: Number(new URL(url).port),
    process: child,
    async passes(count) {
      while (seen.length < count) await once(child, "message");
      return seen;
    },
  };
  return backend;
}

const post = (url: string, body: BodyInit, headers: Record<string, string> = {}) =>
  fetch(url, { method: "POST", body, headers });

/** Its status, once it has ended and all that it has printed is read. */
async function exitOf(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, "close")) as [number | null];
  return code;
}

/** The real `backend/main.ts`. @returns it once it listens, and what it has logged until then */
async function startMain(environment: Record<string, string>) {
  const child = fork(new URL("../../backend/main.ts", import.meta.url), {
    env: { PATH: process.env.PATH, PORT: "0", THREADS: "1", ...environment },
    execArgv: [],
    silent: true,
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let lines = "";
  child.stdout?.on("data", (chunk) => {
    lines += chunk;
  });
  await expect.poll(() => lines).toContain("listening");
  return { child, lines };
}

test("200 identical uploads at once cost one forward pass", async () => {
  const { url, process: child, passes } = await start();
  child.send("hold");
  const picture = await jpegPicture(5);
  const answers = Array.from({ length: 200 }, () => post(url, picture));
  await passes(1);
  child.send("release");
  for (const response of await Promise.all(answers)) expect(response.status).toBe(200);
  expect(await passes(1)).toEqual([1]);
});

test("different pictures at once share forward passes, and each gets its own caption", async () => {
  const { url, process: child, passes } = await start({ MAX_BATCH_SIZE: "8" });
  child.send("hold");
  const pictures = await Promise.all(Array.from({ length: 17 }, (_, i) => jpegPicture(10 * i)));
  const answers = pictures.map((picture) => post(url, picture));
  await passes(1);
  await untilMetric(url, "caption_requests_in_flight", 17);
  child.send("release");
  const bodies = await Promise.all(answers.map(async (answer) => (await answer).json()));
  bodies.forEach((body, i) => {
    expect(body).toEqual([{ generated_text: expect.any(String) }]);
    expect(Math.abs(Number(body[0].generated_text.split(" ")[0]) - 100 - 10 * i)).toBeLessThan(4);
  });
  const captioned = async () => (await passes(1)).reduce((sum, batch) => sum + batch, 0);
  await expect.poll(captioned).toBe(17);
  expect(await passes(1)).not.toContain(9);
});

/** Waits until a gauge has a value: the server is then where the test wants it. */
async function untilMetric(url: string, name: string, value: number): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${url}/metrics`)).text();
    if (new RegExp(`^${name}\\{.*\\} ${value}$`, "m").test(text)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("SIGTERM: what was accepted is answered, new work is refused, the process exits 0", async () => {
  const { url, process: child, passes } = await start();
  child.send("hold");
  const accepted = [post(url, await jpegPicture(1)), post(url, await jpegPicture(2))];
  await passes(1);
  await untilMetric(url, "caption_requests_in_flight", 2);

  child.kill("SIGTERM");
  await expect
    .poll(() =>
      fetch(`${url}/healthz`, { headers: { connection: "close" } }).then(
        () => "open",
        () => "closed",
      ),
    )
    .toBe("closed");
  const exited = exitOf(child);
  child.send("release");
  for (const response of await Promise.all(accepted)) {
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject([{ generated_text: expect.any(String) }]);
  }
  expect(await exited).toBe(0);
});

test("an idle connection outlives those that Cloudflare keeps", async () => {
  const { url } = await start();
  const kept = (await fetch(`${url}/healthz`)).headers.get("keep-alive");
  expect(Number(/^timeout=(\d+)$/.exec(kept ?? "")?.[1])).toBeGreaterThan(900);
});

test("SIGINT without work ends at once, idle connections or not", async () => {
  const { url, process: child } = await start();
  await (await fetch(`${url}/healthz`)).text();
  const exited = exitOf(child);
  child.kill("SIGINT");
  expect(await exited).toBe(0);
});

test("a request that never ends is cut off after DRAIN_TIMEOUT_MS", async () => {
  const { port, process: child } = await start({ DRAIN_TIMEOUT_MS: "50" });
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nonly this");
  await once(socket, "connect");
  const exited = exitOf(child);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
});

test("a connection that has never asked for anything holds up no end", async () => {
  const { port, process: child } = await start({ DRAIN_TIMEOUT_MS: "600000" });
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  const exited = exitOf(child);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
});

test("a signal before it listens ends it too, as nothing else would as the first process of a container", async () => {
  const child = fork(new URL("../../backend/main.ts", import.meta.url), {
    env: { PATH: process.env.PATH, PORT: "0", BUNDLE: EMBEDDED_BUNDLE },
    execArgv: [],
    silent: true,
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit");
  child.stdout?.once("data", () => child.kill("SIGTERM"));
  expect(await exited).toEqual([0, null]);
});

/** Threads of a process; proc(5). */
const threadsOf = async (pid: number | undefined): Promise<number> =>
  (await readdir(`/proc/${pid}/task`)).length;

test.skipIf(!existsSync("/proc/self/task"))(
  "a signal while the model is loaded ends it with 0 and without a word of its parts: ONNX Runtime aborted it",
  async () => {
    const child = fork(new URL("../../backend/main.ts", import.meta.url), {
      env: { PATH: process.env.PATH, PORT: "0", BUNDLE: EMBEDDED_BUNDLE, THREADS: "64" },
      execArgv: [],
      silent: true,
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const said = text(child.stderr ?? process.stdin);
    const exited = once(child, "exit");
    await once(child, "spawn");
    // ONNX Runtime starts its threads before it reads the graph.
    while ((await threadsOf(child.pid)) < 64) await new Promise(setImmediate);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(await said).toBe("");
  },
);

test("a health check without a Host header is answered: HTTP/1.0 has none", async () => {
  const { port } = await start();
  const socket = connect(port, "127.0.0.1");
  socket.end("GET /readyz HTTP/1.0\r\n\r\n");
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
});

test("a caller that hangs up while it waits costs no forward pass", async () => {
  const { url, process: child, passes } = await start();
  child.send("hold");
  const busy = post(url, await jpegPicture(1));
  await passes(1);
  const leaving = new AbortController();
  const gone = fetch(url, { method: "POST", body: await jpegPicture(2), signal: leaving.signal });
  await untilMetric(url, "caption_queue_depth", 1);
  leaving.abort();
  await expect(gone).rejects.toThrow();
  await untilMetric(url, "caption_requests_in_flight", 1);
  child.send("release");
  await busy;
  await untilMetric(url, "caption_queue_depth", 0);
  expect(await passes(1)).toEqual([1]);
});

test("an upload past the permits is refused while it is still being sent", async () => {
  const { url, process: child, passes } = await start({ MAX_REQUESTS: "1" });
  child.send("hold");
  const busy = post(url, await jpegPicture(1));
  await passes(1);
  const upload = request(url, { method: "POST", headers: { "content-length": "1000000" } });
  upload.on("error", () => {});
  upload.write(Buffer.alloc(1000));
  const [response] = await once(upload, "response");
  expect(response.statusCode).toBe(429);
  expect(response.headers["retry-after"]).toBe("1");
  upload.destroy();
  child.send("release");
  expect((await busy).status).toBe(200);
});

test("a connection on which a body was refused half-way takes the next request: proxies use it again at once", async () => {
  const { port } = await start();
  const socket = connect(port, "127.0.0.1");
  let answers = "";
  socket.on("data", (chunk) => {
    answers += chunk;
  });
  onTestFinished(() => void socket.destroy());
  socket.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  // Little is left when it is refused: `@hono/node-server` waits for it for half a second.
  for (const bytes of [...Array<number>(20).fill(1024 * 1024), 256 * 1024]) {
    socket.write(`${bytes.toString(16)}\r\n`);
    socket.write(Buffer.alloc(bytes));
    socket.write("\r\n");
  }
  socket.write("0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  await expect.poll(() => answers.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 413", "HTTP/1.1 200"]);
});

test("the whole backend on a real model: a picture in, its caption out, nothing left behind", async () => {
  const bundle = join(await temporaryFolder(), "bundle");
  const home = await temporaryFolder();
  await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out: bundle });
  const { child, lines } = await startMain({ BUNDLE: bundle, HOME: home });
  const url = /"url":"([^"]+)"/.exec(lines)?.[1] ?? "";
  const answer = await post(url, await jpegPicture(7));
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual([{ generated_text: expect.any(String) }]);
  const exited = exitOf(child);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
  expect(await readdir(home)).toEqual([]);
  expect(lines).not.toContain("an older version wrote this bundle's graph");
});

test("a bundle whose graph an older version wrote is served, and named in the log", async () => {
  const bundle = join(await temporaryFolder(), "bundle");
  await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out: bundle });
  const manifest = join(bundle, "bundle.json");
  const { graph_version: _, ...older } = JSON.parse(await readFile(manifest, "utf8"));
  await writeFile(manifest, JSON.stringify(older));
  const { lines } = await startMain({ BUNDLE: bundle });
  expect(lines).toContain(
    "an older version wrote this bundle's graph: rebuild the bundle, and it captions faster",
  );
});

test.skipIf(!existsSync(FULL_DISK))("a disk too full for the log stops no caption and no end", async () => {
  const bundle = join(await temporaryFolder(), "bundle");
  await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out: bundle });
  const port = await freePort();
  const full = await open(FULL_DISK, "w");
  const child = spawn(process.execPath, [fileURLToPath(new URL("../../backend/main.ts", import.meta.url))], {
    env: { PATH: process.env.PATH, PORT: String(port), BUNDLE: bundle, THREADS: "1" },
    stdio: ["ignore", full.fd, "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await full.close();
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  const url = `http://127.0.0.1:${port}`;
  const statusOf = (answer: Promise<Response>) => answer.then(({ status }) => status).catch(() => 0);
  await expect.poll(() => statusOf(fetch(`${url}/readyz`))).toBe(200);
  for (const seed of [1, 2]) expect((await post(url, await jpegPicture(seed))).status).toBe(200);
  const exited = exitOf(child);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
  expect(said.match(/The log cannot be written/g)).toHaveLength(1);
});

test("a reader of both outputs that is gone stops no caption and no end", async () => {
  const bundle = join(await temporaryFolder(), "bundle");
  await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out: bundle });
  const { child, lines } = await startMain({ BUNDLE: bundle });
  const url = /"url":"([^"]+)"/.exec(lines)?.[1] ?? "";
  for (const stream of [child.stdout, child.stderr]) stream?.destroy();
  for (const seed of [1, 2, 3]) expect((await post(url, await jpegPicture(seed))).status).toBe(200);
  const exited = exitOf(child);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
});

test.each([
  ["--help", 0, /^node backend\/main\.ts takes no arguments.*BUNDLE/],
  ["--port=9000", 1, /^--port=9000: node backend\/main\.ts takes no arguments.*PORT/],
])("the argument %s ends it with %i and where its settings are", async (argument, status, said) => {
  const child = fork(new URL("../../backend/main.ts", import.meta.url), [argument], {
    execArgv: [],
    silent: true,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (output += chunk));
  expect(await exitOf(child)).toBe(status);
  expect(output).toMatch(said);
});

test("a wrong configuration is refused by name before anything is loaded", async () => {
  const child = fork(new URL("../../backend/main.ts", import.meta.url), {
    env: { PATH: process.env.PATH, PORT: "http", HOST: "0.0.0.0" },
    execArgv: [],
    silent: true,
  });
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  expect(await exitOf(child)).toBe(1);
  expect(said).toMatch(/PORT/);
  expect(said).not.toMatch(/at .*\.ts:/);
});
