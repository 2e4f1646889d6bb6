/**
 * An operator's hour, with the real backend and workerd: two backends behind a secret, a key with a quota, metrics, a drain
 * and an upgrade of the bundle, each as docs/run.md says.
 */

import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { EMBEDDED_BUNDLE } from "../../backend/model/embedded.ts";
import { type BackendProcess, startBackend } from "../../bench/backend-process.ts";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { freePort } from "../../local/local-server.ts";
import { Problem } from "../../shared/problem.ts";
import { Caption } from "../../shared/schema.ts";
import { runCommand } from "../support/run-command.ts";
import { tinyBundle } from "../support/tiny-blip.ts";

const SECRET = "a-secret-of-enough-length";
const PHOTO = fileURLToPath(new URL("../../examples/cat.jpg", import.meta.url));
const QUOTA = 3;
/** Time for the edge to learn of a new model, on a busy machine: 5 s fresh, then asked behind an answer. */
const LEARNS_WITHIN_MS = 90_000;

const CreatedKey = z.object({ key: z.string(), id: z.string() });

let ports: [number, number];
let backends: BackendProcess[];
let edge: RunningEdge;
let key: z.infer<typeof CreatedKey>;
let firstDay: string;

const startWith = (bundle: string, port: number) =>
  startBackend({
    BUNDLE: bundle,
    PORT: String(port),
    BACKEND_SECRET: SECRET,
    THREADS: "1",
    LOG_LEVEL: "info",
  });

/** In UTC, as quotas count. */
const today = () => new Date().toISOString().slice(0, 10);

const keys = async (...args: string[]) => runCommand("keys", [...args, "--persist-to", edge.state]);

/** The photograph with bytes after its end: the same picture under another hash. */
const photo = async (number: number) =>
  new Uint8Array(Buffer.concat([await readFile(PHOTO), Buffer.from(String(number))]));

const ask = async (body: Uint8Array<ArrayBuffer>, authorization = `Bearer ${key.key}`) =>
  fetch(`${edge.url}/v1/captions`, { method: "POST", body, headers: { authorization } });

beforeAll(async () => {
  ports = [await freePort(), await freePort()];
  backends = await Promise.all(ports.map((port) => startWith(EMBEDDED_BUNDLE, port)));
  edge = await startEdge({
    BACKEND_URLS: ports.map((port) => `http://127.0.0.1:${port}`).join(","),
    BACKEND_SECRET: SECRET,
    ACCESS: "keys",
  });
  const created = await keys("create", "--name", "cms", "--daily-quota", String(QUOTA), "--json");
  key = CreatedKey.parse(JSON.parse(created.stdout));
  firstDay = today();
});

afterAll(async () => {
  await edge.stop();
  await Promise.all(backends.map((backend) => backend.kill()));
});

test("the edge is ready, and a key is shown once and listed without its secret", async () => {
  expect((await fetch(`${edge.url}/readyz`)).status).toBe(200);
  const { stdout } = await keys("list");
  expect(stdout).toMatch(new RegExp(`^${key.id}\t.*\t${QUOTA}/day\tcms\n$`));
  expect(stdout).not.toContain(key.key.slice(-64));
  const json = (await keys("list", "--json")).stdout;
  expect(json).toContain(key.id);
  expect(json).not.toContain("secret_sha256");
});

test("nobody gets in without the key, nor past the edge without the secret", async () => {
  expect((await ask(await photo(1), "")).status).toBe(401);
  for (const port of ports) {
    expect((await fetch(`http://127.0.0.1:${port}/v1/model`)).status).toBe(401);
    expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(401);
  }
});

test("a caption is made and counted in the metrics of one of the backends", async () => {
  const caption = Caption.parse(await (await ask(await photo(1))).json());
  expect(caption.model.id).toBe("hybrid-small/lora");
  const headers = { authorization: `Bearer ${SECRET}` };
  const metrics = await Promise.all(
    ports.map(async (port) => (await fetch(`http://127.0.0.1:${port}/metrics`, { headers })).text()),
  );
  const generated = metrics.filter((text) =>
    /^caption_requests_total\{.*outcome="generated".*\} 1$/m.test(text),
  );
  expect(generated).toHaveLength(1);
});

test("one backend drains with status 0, and no request fails meanwhile", async () => {
  const [first] = backends;
  const answers = [ask(await photo(1)), ask(await photo(2))];
  await first?.stop();
  for (const answer of answers) expect((await answer).status).toBe(200);
  expect((await fetch(`${edge.url}/readyz`)).status).toBe(200);
});

test("after a new bundle on one backend after the other, the old caption is no longer served", async () => {
  const bundle = await tinyBundle({ adapted: true });
  backends[0] = await startWith(dirname(bundle.graphPath), ports[0]);
  await backends[1]?.stop();
  backends[1] = await startWith(dirname(bundle.graphPath), ports[1]);
  const picture = await photo(1);
  const deadline = Date.now() + LEARNS_WITHIN_MS;
  let caption: Caption | undefined;
  while (caption?.model.revision !== bundle.manifest.revision && Date.now() < deadline) {
    if (caption !== undefined) await new Promise((wake) => setTimeout(wake, 500));
    caption = Caption.parse(await (await ask(picture)).json());
  }
  expect(caption).toMatchObject({ model: { id: bundle.manifest.id, revision: bundle.manifest.revision } });
});

test("no requests are stored here: wrangler would keep them, with their prompts, for ever", async () => {
  expect(await readdir(join(edge.state, "v3"))).not.toContain("observability");
});

test("keys, captions and jobs are not open to whoever reaches the port: wrangler would show them, and let them be written", async () => {
  const explorer = `${edge.url}/cdn-cgi/explorer/api/storage/kv/namespaces`;
  expect((await fetch(explorer)).status).toBe(404);
});

test("the day's quota ends new captions, and what was captioned is still answered", async () => {
  // Midnight gives the whole quota anew.
  const isNewDay = today() !== firstDay;
  for (let spent = 0; isNewDay && spent < QUOTA; spent++) await ask(await photo(100 + spent));
  expect((await ask(await photo(3))).status).toBe(429);
  expect(Problem.parse(await (await ask(await photo(4))).json()).code).toBe("quota-exceeded");
  expect((await ask(await photo(1))).status).toBe(200);
});

test("a revoked key is gone from the list; revoking an unknown key says that there is none", async () => {
  expect((await keys("revoke", key.key)).stdout).toContain(`${key.id} is revoked`);
  expect(await keys("list")).toMatchObject({ stdout: "", stderr: "There are no keys.\n", status: 0 });
  expect(await keys("revoke", key.id)).toMatchObject({ status: 1, stderr: `There is no key ${key.id}.\n` });
  expect(await keys("revoke", "x")).toMatchObject({ status: 2 });
});
