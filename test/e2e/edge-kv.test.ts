/** The deployed bundle in workerd with a KV that throws, stalls or holds rubbish: no request fails for it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleWorker, type WorkerBundle } from "../../bench/edge-bundle.ts";
import { contentHash } from "../../shared/content-hash.ts";
import { jpegPicture } from "../support/pictures.ts";
import { type RunningBackend, startBackend } from "./edge-support.ts";

let scratch: string;
let bundle: WorkerBundle;
let backend: RunningBackend;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), "edge-kv-"));
  bundle = await bundleWorker("worker/index.ts", { config: "wrangler.toml", folder: scratch });
  backend = await startBackend();
});
afterAll(async () => {
  backend.process.kill("SIGKILL");
  await rm(scratch, { recursive: true, force: true });
});

/** A worker that stands where KV is bound, with KV's methods. */
const brokenKv = (behaviour: string) => `
  import { WorkerEntrypoint } from "cloudflare:workers";
  export default class extends WorkerEntrypoint {
    async get() { ${behaviour} }
    async put() { ${behaviour} }
  }`;

let seed = 0;

test.each([
  ["throws", 'throw new Error("KV is down");'],
  ["stalls", "await new Promise((resolve) => setTimeout(resolve, 60_000));"],
  ["holds rubbish", 'return "<html>";'],
])(
  "KV that %s: captions are made, and found again in the nearer tiers",
  async (_name, behaviour) => {
    const { modules, compatibilityDate } = bundle;
    const workerd = new Miniflare(
      convertV4MiniflareOptions({
        workers: [
          {
            name: "edge",
            modules,
            compatibilityDate,
            bindings: { BACKEND_URLS: backend.url, ACCESS: "open", LOG_LEVEL: "error", KV_TIMEOUT_MS: "100" },
            kvNamespaces: ["KEYS"],
            serviceBindings: { CAPTIONS: "kv" },
          },
          {
            name: "kv",
            modules: [{ type: "ESModule", path: "kv.js", contents: brokenKv(behaviour) }],
            compatibilityDate,
          },
        ],
      }),
    );
    try {
      const url = await workerd.ready;
      for (let count = 0; count < 5; count++) {
        const body = await jpegPicture(++seed * 6007);
        const made = await fetch(new URL("/v1/captions", url), { method: "POST", body });
        expect(made.status).toBe(200);
        const found = await fetch(new URL(`/v1/captions/${await contentHash(body)}`, url));
        expect(found.headers.get("cache-status")).toBe("memory; hit");
      }
    } finally {
      await workerd.dispose();
    }
  },
  60_000,
);
