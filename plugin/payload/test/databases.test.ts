/** What depends on the database: two processes, saves at the same moment, a killed process. On SQLite, and Postgres where there is one. */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { postgresAdapter } from "@payloadcms/db-postgres";
import type { Config } from "payload";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { DEAD_JOB_MS, TURN_MS } from "../src/limits.ts";
import { recoverDeadJobs } from "../src/recover.ts";
import { createTurns } from "../src/turns.ts";
import { caption, type StandIn, startStandIn } from "./captioner-stand-in.ts";
import { startSite, type TestSite } from "./site.ts";

let api: StandIn;
const postgres = inject("postgres");

/** Connection string of a new, empty database. */
async function newDatabase(server: string): Promise<string> {
  const name = `site_${crypto.randomUUID().replaceAll("-", "")}`;
  const client = new pg.Client({ connectionString: `${server}/postgres` });
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  return `${server}/${name}`;
}

/** Sessions that nobody ends any more. */
async function failedTransactions(connectionString: string): Promise<number> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  const query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = $1";
  const { rows } = await client.query(query, ["idle in transaction (aborted)"]);
  await client.end();
  return rows.length;
}

beforeAll(async () => {
  api = await startStandIn();
});
afterAll(() => api.stop());
beforeEach(() => {
  api.answer = caption({ alt: "Words of the machine" });
});

/** What a site is opened with, and what another process needs to open it too. */
type Database = () => Promise<{ readonly config: Partial<Config>; readonly address: readonly string[] }>;
const DATABASES: readonly (readonly [string, Database])[] = [
  ["SQLite", async () => ({ config: {}, address: [] })],
  ...(postgres === undefined
    ? []
    : [
        [
          "Postgres",
          async () => {
            const connectionString = await newDatabase(postgres);
            return {
              config: { db: postgresAdapter({ pool: { connectionString } }) },
              address: [connectionString],
            };
          },
        ] as const,
      ]),
];

/** A process of its own that runs the site's queues. */
async function startJobs({ folder }: TestSite, address: readonly string[]): Promise<ChildProcess> {
  const child = fork(new URL("./job-process.ts", import.meta.url), [folder, api.url, ...address], {
    execArgv: [],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  await once(child, "message");
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  const died = once(child, "exit");
  child.kill("SIGKILL");
  await died;
}

describe.each(DATABASES)("on %s", (_, database) => {
  async function open(config: Partial<Config>, existing?: string): Promise<TestSite> {
    return startSite({ endpoint: api.url, inlineTimeoutMs: 0 }, {}, config, existing);
  }

  test("an upload is described by the job", async () => {
    const site = await open((await database()).config);
    const { id, altState } = await site.upload();
    expect(altState).toBe("pending");
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "Words of the machine", altState: "generated" });
    await site.stop();
  });

  test("one of three processes runs the queue, each picture is requested once, and another process takes over from a killed one", async () => {
    const { config, address } = await database();
    const site = await open(config);
    const first = await startJobs(site, address);
    const others = [await startJobs(site, address), await startJobs(site, address)];
    api.requests.length = 0;
    const sent = () => api.requests.filter((line) => line.startsWith("POST"));
    const uploadMany = async (count: number) => {
      const ids: number[] = [];
      for (let n = 0; n < count; n++) ids.push((await site.upload()).id);
      for (const id of ids) {
        await expect
          .poll(async () => (await site.read(id)).alt, { timeout: 4 * TURN_MS, interval: 200 })
          .toBe("Words of the machine");
      }
    };
    await uploadMany(30);
    await end(first);
    await uploadMany(6);
    expect(sent()).toHaveLength(36);
    const [connectionString] = address;
    if (connectionString !== undefined) expect(await failedTransactions(connectionString)).toBe(0);
    for (const other of others) await end(other);
    await site.stop();
  }, 300_000);

  test("turns stay with the process that asks in time, and go to another one otherwise", async () => {
    const site = await open((await database()).config);
    let now = 10 * TURN_MS;
    const [one, two] = [createTurns(site.payload, () => now), createTurns(site.payload, () => now)];
    expect(await Promise.all([one(), one(), two()])).toEqual([true, true, false]);
    for (now += TURN_MS / 2; now < 13 * TURN_MS; now += TURN_MS / 2) {
      expect([await two(), await one()]).toEqual([false, true]);
    }
    // The first one is gone: the turn that it had taken passes.
    now = 14.5 * TURN_MS;
    expect(await two()).toBe(true);
    expect(await one()).toBe(false);
    await site.stop();
  });

  test("a job whose process is killed is done by the next one", async () => {
    const { config, address } = await database();
    const site = await open(config);
    const { id } = await site.upload();
    const asked = new Promise<void>((resolve) => {
      api.answer = () => resolve();
    });
    const other = await startJobs(site, address);
    await asked;
    await end(other);
    api.answer = caption({ alt: "Words of the machine" });
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ altState: "pending" });
    await recoverDeadJobs(site.payload, Date.now() + DEAD_JOB_MS + 1000);
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "Words of the machine", altState: "generated" });
    await site.stop();
  });

  test("a person who saves at the very moment of the job's write keeps the words", async () => {
    const site = await open((await database()).config);
    const kept: unknown[] = [];
    for (let round = 0; round < 24; round++) {
      const { id } = await site.upload();
      let answered = () => {};
      const asked = new Promise<void>((resolve) => {
        answered = resolve;
      });
      api.answer = async (...call) => {
        await caption({ alt: "Words of the machine" })(...call);
        if (call[0].method === "POST") answered();
      };
      const job = site.runJobs();
      await asked;
      await new Promise((wake) => setTimeout(wake, round));
      await site.update(id, { alt: `Words of a person ${round}` });
      await job;
      kept.push((await site.read(id)).alt);
    }
    expect(kept).toEqual(kept.map((_, round) => `Words of a person ${round}`));
    await site.stop();
  });
});
