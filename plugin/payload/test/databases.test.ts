/** What depends on the database: two processes, saves at the same moment, a killed process. On SQLite, and Postgres where there is one. */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { postgresAdapter } from "@payloadcms/db-postgres";
import type { Config } from "payload";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { DEAD_JOB_MS } from "../src/limits.ts";
import { recoverDeadJobs } from "../src/recover.ts";
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

  test("one process takes uploads while another one runs the queue: every picture gets its text", async () => {
    const { config, address } = await database();
    const site = await open(config);
    const other = await startJobs(site, address);
    const ids: number[] = [];
    for (let n = 0; n < 12; n++) ids.push((await site.upload()).id);
    for (const id of ids) {
      await expect
        .poll(async () => (await site.read(id)).alt, { timeout: 30_000 })
        .toBe("Words of the machine");
    }
    await end(other);
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

test("two processes on SQLite share the queue: every picture gets its text", async () => {
  const one = await startSite({ endpoint: api.url, inlineTimeoutMs: 0 });
  const two = await startSite({ endpoint: api.url, inlineTimeoutMs: 0 }, {}, {}, one.folder);
  const ids: number[] = [];
  for (let n = 0; n < 12; n++) ids.push((await one.upload()).id);
  // Payload hands one job to both at times; it then fails in one of them, and is put back like a dead one.
  for (let tick = 0; tick < 3; tick++) {
    await Promise.allSettled([one.runJobs(), two.runJobs()]);
    await recoverDeadJobs(one.payload, Date.now() + DEAD_JOB_MS + 1000);
  }
  for (const id of ids) expect(await one.read(id)).toMatchObject({ alt: "Words of the machine" });
  await two.stop();
  await one.stop();
});
