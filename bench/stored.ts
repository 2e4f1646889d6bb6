/**
 * Checks whether a hit becomes slower as more captions are stored. It GETs captions that only KV has, with a
 * thousand, a hundred thousand and a million of them stored, and one that is in memory. The KV is workerd's local
 * one, a SQLite table and a file per value. Its rows are written straight into the table and share one value,
 * because a million writes through the API would take hours.
 */

import { createHash, randomInt } from "node:crypto";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as z from "zod";
import { photograph } from "./backend-process.ts";
import { bundleWorker, type WorkerBundle } from "./edge-bundle.ts";
import { edgeSettings, figures, httpRequest, load, startCaptioner, worker } from "./edge-parts.ts";
import { counts } from "./options.ts";
import type { Report } from "./report.ts";

export const Options = z.object({
  stored: counts("1000,100000,1000000").describe("How many captions are stored, by commas, rising."),
  requests: z.coerce.number().int().positive().default(2_000).describe("Requests of each turn."),
  turns: z.coerce.number().int().positive().default(3).describe("Turns of each number."),
  connections: z.coerce.number().int().positive().default(16).describe("Requests at once."),
});
type Options = z.output<typeof Options>;

export async function run({ stored, requests, turns, connections }: Options): Promise<Report> {
  const captioner = await startCaptioner();
  const scratch = await mkdtemp(path.join(tmpdir(), "bench-stored-"));
  const state = path.join(scratch, "state");
  try {
    const bundle = await bundleWorker("worker/index.ts", {
      config: "wrangler.toml",
      folder: path.join(scratch, "edge"),
    });
    const start = () => startWorkerd(bundle, captioner.url, state);
    const first = await start();
    const posted = new URL("/v1/captions", await first.unsafeGetDirectURL("edge-kv"));
    const made = await fetch(posted, { method: "POST", body: await photograph(1) });
    if (!made.ok) throw new Error(`Nothing was captioned: ${await made.text()}`);
    await first.dispose();
    const levels: Report[] = [];
    let known = 0;
    for (const count of stored) {
      storeCaptions(state, known, count);
      known = count;
      const workerd = await start();
      levels.push({
        stored: count,
        kv_hit: await measure(workerd, "edge-kv", () => randomInt(count)),
        memory_hit: await measure(workerd, "edge", () => 0),
      });
      await workerd.dispose();
    }
    return { requests_a_turn: requests, turns, connections, levels };
  } finally {
    captioner.close();
    await rm(scratch, { recursive: true, force: true });
  }

  async function measure(workerd: Miniflare, name: string, number: () => number): Promise<Report> {
    const url = await workerd.unsafeGetDirectURL(name);
    const request = () => httpRequest("GET", new URL(`/v1/captions/${sha256Of(number())}`, url), undefined);
    const one = { name, url, request };
    await load(one, { connections, requests });
    const taken = [];
    for (let turn = 0; turn < turns; turn++) taken.push(await load(one, { connections, requests }));
    return figures(taken);
  }
}

/** Starts the worker on the KV in `state`, once with all tiers and once with KV alone. */
async function startWorkerd(bundle: WorkerBundle, captioner: string, state: string): Promise<Miniflare> {
  const workerd = new Miniflare({
    ...convertV4MiniflareOptions({
      workers: [
        worker("edge", bundle, edgeSettings(captioner, "memory,colo,kv")),
        worker("edge-kv", bundle, edgeSettings(captioner, "kv")),
      ],
    }),
    resourcePersistencePath: state,
  });
  await workerd.ready;
  return workerd;
}

const sha256Of = (number: number) => createHash("sha256").update(String(number)).digest("hex");

/** Adds captions `from` to `to` - 1 to the KV in `state`, each with the value of the existing one. */
function storeCaptions(state: string, from: number, to: number): void {
  const folder = path.join(state, "kv/miniflare-KVNamespaceObject");
  for (const name of readdirSync(folder).filter((file) => /^[0-9a-f]+\.sqlite$/.test(file))) {
    const database = new DatabaseSync(path.join(folder, name));
    const row = database.prepare("SELECT * FROM _mf_entries WHERE key LIKE 'caption/%' LIMIT 1").get();
    if (row !== undefined) {
      const insert = database.prepare(
        "INSERT OR REPLACE INTO _mf_entries (key, blob_id, expiration, metadata) VALUES (?, ?, ?, ?)",
      );
      database.exec("BEGIN");
      for (let number = from; number < to; number++) {
        const key = String(row.key).replace(/[0-9a-f]{64}/, sha256Of(number));
        insert.run(key, row.blob_id ?? null, row.expiration ?? null, row.metadata ?? null);
      }
      database.exec("COMMIT");
    }
    database.close();
  }
}
