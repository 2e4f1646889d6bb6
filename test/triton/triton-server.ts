/** A real Triton Inference Server as a process of its own, from the virtual environment that install.sh made. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import * as z from "zod";
import { createKserveClient } from "../../backend/engines/triton/kserve-client.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

const Environment = z.object({ TRITON_VENV: z.string() });
const PYTHON = "3.11";
const START_TIMEOUT_MS = 60_000;

/** One forward pass: the rows of each request in it. */
const Run = z.object({ model: z.string(), version: z.string(), rows: z.array(z.number()) });
type Run = z.infer<typeof Run>;

export interface TritonServer {
  /** HOST:PORT */
  readonly endpoint: string;
  /** Forward passes since the start or `forget`, the warm-up's among them. */
  runs(): Promise<Run[]>;
  forget(): Promise<void>;
  /** Makes every coming forward pass take so much longer. */
  slowDown(milliseconds: number): Promise<void>;
  /** SIGTERM stops it in order, SIGKILL and SIGSTOP do not; resolves once it is gone, or stopped. */
  signal(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP"): Promise<void>;
}

/** Serves `repository` and resolves once all of it is loaded; on a free port where none is named. */
export async function startTritonServer(repository: string, port?: number): Promise<TritonServer> {
  const venv = Environment.parse(process.env).TRITON_VENV;
  const packages = join(venv, "lib", `python${PYTHON}`, "site-packages");
  const installed = join(packages, "pytriton", "tritonserver");
  const folder = await temporaryFolder();
  const backends = await backendFolder(installed, folder);
  const [log, delay] = [join(folder, "log"), join(folder, "delay")];
  await Promise.all([writeFile(log, ""), writeFile(delay, "0")]);
  const endpoint = `127.0.0.1:${port ?? (await freePort())}`;

  const [host, grpcPort] = endpoint.split(":") as [string, string];
  const server = spawn(
    join(installed, "bin", "tritonserver"),
    [
      `--model-repository=${repository}`,
      `--backend-directory=${backends}`,
      `--grpc-address=${host}`,
      `--grpc-port=${grpcPort}`,
      "--allow-http=false",
      "--allow-metrics=false",
    ],
    {
      // The processes that run model.py share its group, so that they die together.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        PATH: [join(venv, "bin"), process.env.PATH].join(delimiter),
        LD_LIBRARY_PATH: join(packages, "nvidia_pytriton.libs"),
        TRITON_TEST_LOG: log,
        TRITON_TEST_DELAY_MS: delay,
      },
    },
  );
  let output = "";
  for (const stream of [server.stdout, server.stderr]) {
    stream?.on("data", (text) => {
      output += text;
    });
  }
  const kill = (signal: NodeJS.Signals) => {
    if (server.exitCode === null && server.signalCode === null) process.kill(-(server.pid ?? 0), signal);
  };
  onTestFinished(async () => {
    const gone = exited(server);
    kill("SIGKILL");
    await gone;
  });
  await ready(endpoint, server, () => output);

  return {
    endpoint,
    async runs() {
      const lines = (await readFile(log, "utf8")).split("\n").filter((line) => line !== "");
      return lines.map((line) => Run.parse(JSON.parse(line)));
    },
    forget: () => writeFile(log, ""),
    slowDown: (milliseconds) => writeFile(delay, String(milliseconds)),
    async signal(signal) {
      if (signal === "SIGTERM") server.kill(signal);
      else kill(signal);
      if (signal !== "SIGSTOP") await exited(server);
    },
  };
}

async function exited(server: ChildProcess): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) await once(server, "exit");
}

/** The server's own backend for Python, and model.py under the name of the one for ONNX Runtime. Triton follows no links. */
async function backendFolder(installed: string, folder: string): Promise<string> {
  const backends = join(folder, "backends");
  await cp(join(installed, "backends", "python"), join(backends, "python"), { recursive: true });
  await cp(join(installed, "python_backend_stubs", PYTHON), join(backends, "python"), { recursive: true });
  const model = fileURLToPath(new URL("./model.py", import.meta.url));
  await cp(model, join(backends, "onnxruntime", "model.py"));
  return backends;
}

async function ready(endpoint: string, server: ChildProcess, output: () => string): Promise<void> {
  const client = createKserveClient(endpoint);
  try {
    for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; ) {
      if (server.exitCode !== null) break;
      const isReady = await client.serverReady({ deadline: Date.now() + 1000 }).catch(() => false);
      if (isReady) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  } finally {
    client.close();
  }
  throw new Error(`Triton did not start:\n${output()}`);
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === "string") throw new Error("No port.");
  return address.port;
}
