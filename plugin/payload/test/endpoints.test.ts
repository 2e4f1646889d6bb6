/** The plugin's routes, with the site's own access: who may, who may not, and what the rest is told. */

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type CollectionConfig,
  createLocalReq,
  type Field,
  type PayloadRequest,
  type WidgetServerProps,
} from "payload";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { backfill } from "../src/backfill.ts";
import { BACKFILL_JOB_FROM, DEAD_JOB_MS } from "../src/limits.ts";
import { recoverDeadJobs } from "../src/recover.ts";
import { AltTextWidget } from "../src/rsc/widget.tsx";
import { caption, problem, type StandIn, startStandIn } from "./captioner-stand-in.ts";
import { picture } from "./picture.ts";
import { startSite, type TestSite } from "./site.ts";

let api: StandIn;
beforeAll(async () => {
  api = await startStandIn();
});
afterAll(() => api.stop());

let site: TestSite;
beforeEach(async () => {
  api.answer = caption();
  api.requests.length = 0;
  site = await startSite({ endpoint: api.url, inlineTimeoutMs: 0 });
});
afterEach(() => site.stop());

const json = (body: unknown) =>
  ({ method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } }) as const;

async function form(): Promise<RequestInit> {
  const body = new FormData();
  body.append("file", new File([new Uint8Array(await picture())], "a.png", { type: "image/png" }));
  return { method: "POST", body };
}

/** Pictures that nobody has described. */
async function undescribed(count: number): Promise<number[]> {
  const ids: number[] = [];
  for (let n = 0; n < count; n++) ids.push((await site.upload()).id);
  await site.payload.delete({ collection: "payload-jobs" as never, where: { id: { exists: true } } });
  return ids;
}

describe("suggestions", () => {
  test("come for a picture before the first save, each wording once", async () => {
    let number = 0;
    api.answer = (request, response, body) =>
      caption({ alt: number++ % 2 ? "A dog" : "A dog on grass", score: 0.5 })(request, response, body);
    const response = await site.request("/alt-text/media/suggest", await form());
    const { suggestions } = (await response.json()) as { suggestions: { text: string }[] };
    expect(response.status).toBe(200);
    expect(suggestions.map(({ text }) => text).sort()).toEqual(["A dog", "A dog on grass"]);
    expect(api.requests.filter((line) => line.startsWith("POST"))).toHaveLength(4);
  });

  test("come for a stored document", async () => {
    const [id] = await undescribed(1);
    const response = await site.request("/alt-text/media/suggest", json({ id }));
    expect(await response.json()).toEqual({
      suggestions: [{ text: "A dog on grass", score: 0.8, needsReview: false }],
    });
  });

  test.each([
    ["nobody", null, 401],
    ["a reader", "reader", 403],
  ] as const)("%s gets none", async (_, who, status) => {
    const [id] = await undescribed(1);
    const user = who === null ? null : site.reader;
    for (const init of [json({ id }), json({ id: 4711 }), await form()]) {
      const response = await site.request("/alt-text/media/suggest", { ...init, user });
      expect(response.status).toBe(status);
    }
    expect(api.requests).toEqual([]);
  });

  test("an unknown document and a collection that is not chosen tell nothing", async () => {
    const unknown = await site.request("/alt-text/media/suggest", json({ id: 4711 }));
    const other = await site.request("/alt-text/users/suggest", json({ id: 1 }));
    expect([unknown.status, other.status]).toEqual([404, 404]);
    expect(await unknown.json()).toEqual(await other.json());
  });

  test("a captioner that is away is reported in our own words", async () => {
    api.answer = problem(503, "unavailable");
    const response = await site.request("/alt-text/media/suggest", await form());
    expect(response.status).toBe(503);
    expect(await response.text()).not.toContain("SECRET");
  });
});

describe("a run", () => {
  async function start(body: unknown, user = site.editor) {
    const response = await site.request("/alt-text/media/runs", { ...json(body), user });
    const answer = (await response.json()) as { run: { id: number } };
    return { status: response.status, id: answer.run?.id };
  }
  const seen = async (id: number, user = site.editor) =>
    (await (await site.request(`/alt-text-runs/${id}`, { user })).json()) as Record<string, unknown>;

  test("over all missing describes those, and leaves words, decoration and other files alone", async () => {
    await site.upload({ alt: "Words of a person" });
    await site.upload({ altDecorative: true });
    await site.upload({}, { file: { data: Buffer.from("hello"), mimetype: "text/plain", name: "a.txt" } });
    const ids = await undescribed(6);
    const { status, id } = await start({ missing: true });
    expect(status).toBe(202);
    expect(await seen(id)).toMatchObject({ status: "running", total: 6 });
    await site.runJobs();
    expect(await seen(id)).toMatchObject({
      status: "completed",
      total: 6,
      generated: 6,
      failed: 0,
      skipped: 0,
    });
    for (const one of ids) expect(await site.read(one)).toMatchObject({ alt: "A dog on grass" });
    expect(await site.read(1)).toMatchObject({ alt: "Words of a person" });
  });

  test("over selected documents counts those with text as skipped, and failures with their reasons", async () => {
    const { id: written } = await site.upload({ alt: "Words of a person" });
    const ids = await undescribed(2);
    api.answer = problem(422, "unreadable-image");
    const { id } = await start({ ids: [written, ...ids] });
    await site.runJobs();
    expect(await seen(id)).toMatchObject({
      status: "completed",
      skipped: 1,
      failed: 2,
      reasons: ids.map((one) => ({ id: one, reason: "The picture is damaged." })),
    });
    expect(await site.read(written)).toMatchObject({ alt: "Words of a person" });
  });

  test("over a filter takes what matches", async () => {
    await site.upload({ credit: "here" });
    await undescribed(2);
    const { id } = await start({ where: { credit: { equals: "here" } } });
    expect(await seen(id)).toMatchObject({ total: 1 });
  });

  test("is cancelled before its next pictures, and says how far it came", async () => {
    await undescribed(9);
    const { id } = await start({ missing: true });
    let asked = 0;
    api.answer = async (...call) => {
      if (++asked === 1) await site.request(`/alt-text/runs/${id}/cancel`, { method: "POST" });
      await caption()(...call);
    };
    await site.runJobs();
    const run = await seen(id);
    expect(run).toMatchObject({ status: "cancelled", total: 9 });
    expect(run.generated).toBe(4);
  });

  test("waits while the captioner is away and goes on; a refused key ends it", async () => {
    await undescribed(2);
    api.answer = problem(429, "quota-exceeded", { "retry-after": "3600" });
    const { id } = await start({ missing: true });
    await site.runJobs();
    expect(await seen(id)).toMatchObject({ status: "running", generated: 0, failed: 0, stalls: 1 });
    const { docs } = await site.payload.find({ collection: "payload-jobs" as never });
    const [{ waitUntil, id: job }] = docs as unknown as [{ waitUntil: string; id: number }];
    expect(Date.parse(waitUntil) - Date.now()).toBeGreaterThan(3_500_000);

    api.answer = problem(401, "unauthorized");
    await site.payload.update({
      collection: "payload-jobs" as never,
      id: job,
      data: { waitUntil: null } as never,
    });
    await site.runJobs();
    expect(await seen(id)).toMatchObject({
      status: "failed",
      message: "The caption API does not accept the site's key.",
    });
  });

  test("passes over a picture that is deleted while it is described", async () => {
    const [id] = (await undescribed(1)) as [number];
    const response = await site.request("/alt-text/media/runs", json({ missing: true }));
    const { run } = (await response.json()) as { run: { id: number } };
    api.answer = async (request, response, body) => {
      if (request.method === "POST") await site.payload.delete({ collection: "media" as never, id });
      caption()(request, response, body);
    };
    await site.runJobs();
    const seen = await site.request(`/alt-text-runs/${run.id}`, {});
    expect(await seen.json()).toMatchObject({ status: "completed", skipped: 1, failed: 0 });
  });

  test("is refused to people who may not change anything, and seen by nobody else", async () => {
    await undescribed(1);
    expect(await start({ missing: true }, site.reader)).toMatchObject({ status: 403 });
    const { id } = await start({ missing: true });
    expect((await site.request(`/alt-text-runs/${id}`, { user: site.reader })).status).toBe(404);
    const cancelled = await site.request(`/alt-text/runs/${id}/cancel`, {
      method: "POST",
      user: site.reader,
    });
    expect(cancelled.status).toBe(404);
    const patch = {
      method: "PATCH",
      body: '{"status":"completed"}',
      headers: { "content-type": "application/json" },
    };
    expect((await site.request(`/alt-text-runs/${id}`, patch)).status).toBe(403);
    expect(await seen(id)).not.toHaveProperty("remaining");
  });

  test("over more ids than fit into one database query describes those that exist, each once", async () => {
    const ids = await undescribed(2);
    const others = Array.from({ length: 40_000 }, (_, index) => 1000 + index);
    const { status, id } = await start({ ids: [...ids, ...others, ...ids] });
    expect(status).toBe(202);
    await site.runJobs();
    expect(await seen(id)).toMatchObject({ status: "completed", total: 2, generated: 2 });
  });

  test.each([[{}], [{ ids: [] }], [{ missing: false }], [{ ids: [1], missing: true }]])(
    "of %j is a bad request",
    async (body) => {
      await undescribed(1);
      expect(await start(body)).toMatchObject({ status: 400 });
    },
  );

  test("goes on after its process died", async () => {
    const ids = await undescribed(3);
    const { id } = await start({ missing: true });
    // A killed process leaves its job marked as running.
    await site.payload.db.updateJobs({
      data: { processing: true } as never,
      where: { id: { exists: true } },
    });
    await site.runJobs();
    expect(await seen(id)).toMatchObject({ status: "running", generated: 0 });
    await recoverDeadJobs(site.payload);
    await site.runJobs();
    expect(await seen(id)).toMatchObject({ status: "running", generated: 0 });
    await recoverDeadJobs(site.payload, Date.now() + DEAD_JOB_MS + 1000);
    await site.runJobs();
    expect(await seen(id)).toMatchObject({ status: "completed", generated: ids.length });
  });
});

test("a run writes only what its person may change", async () => {
  await site.stop();
  const own = ({ req }: { req: PayloadRequest }) => (req.user ? { credit: { equals: "mine" } } : false);
  site = await startSite(
    { endpoint: api.url, inlineTimeoutMs: 0 },
    { access: { read: () => true, create: () => true, update: own } },
  );
  const mine = await site.upload({ credit: "mine" });
  const theirs = await site.upload({ credit: "theirs" });
  await site.payload.delete({ collection: "payload-jobs" as never, where: { id: { exists: true } } });
  const response = await site.request("/alt-text/media/runs", json({ ids: [mine.id, theirs.id] }));
  const { run } = (await response.json()) as { run: { id: number; total: number } };
  expect(run.total).toBe(1);
  expect((await site.request("/alt-text/media/suggest", json({ id: theirs.id }))).status).toBe(404);
  await site.runJobs();
  expect(await site.read(mine.id)).toMatchObject({ alt: "A dog on grass" });
  expect((await site.read(theirs.id)).alt ?? "").toBe("");
});

test("a run over all, over all of a filter and the dashboard keep to what the list shows, such as one tenant of several", async () => {
  await site.stop();
  // As the multi-tenant plugin does it, by the cookie of the admin panel.
  const baseFilter = ({ req }: { req: PayloadRequest }) => {
    const chosen = /tenant=(\w+)/.exec(req.headers.get("cookie") ?? "")?.[1];
    return chosen === undefined ? null : { credit: { equals: chosen } };
  };
  site = await startSite({ endpoint: api.url, inlineTimeoutMs: 0 }, { admin: { baseFilter } });
  for (const credit of ["ours", "ours", "theirs"]) await site.upload({ credit });
  const total = async (body: object, cookie: string) => {
    const init = json(body);
    const headers = { ...init.headers, cookie };
    const response = await site.request("/alt-text/media/runs", { ...init, headers });
    return ((await response.json()) as { run: { total: number } }).run.total;
  };
  const where = { altState: { equals: "pending" } };
  expect(await total({ missing: true }, "tenant=ours")).toBe(2);
  expect(await total({ where }, "tenant=ours")).toBe(2);
  expect(await total({ missing: true }, "")).toBe(3);
  const req = await createLocalReq({ user: site.editor }, site.payload);
  req.headers = new Headers({ cookie: "tenant=theirs" });
  const widget = JSON.stringify(await AltTextWidget({ req } as WidgetServerProps));
  expect(widget).toContain("Media without alt text: 1");
});

test("a run loads its person as deep as the site's access functions expect", async () => {
  await site.stop();
  const ofTeam = ({ req }: { req: PayloadRequest }) =>
    (req.user as { team?: { mayDescribe?: boolean } } | null)?.team?.mayDescribe === true;
  const folder = await mkdtemp(path.join(tmpdir(), "payload-"));
  const fields: Field[] = [
    { name: "role", type: "text" },
    { name: "team", type: "relationship", relationTo: "teams" as never },
  ];
  const collections: CollectionConfig[] = [
    { slug: "teams", fields: [{ name: "mayDescribe", type: "checkbox" }] },
    { slug: "users", auth: { depth: 1 }, fields },
    {
      slug: "media",
      upload: { staticDir: path.join(folder, "media") },
      access: { create: () => true, update: ofTeam },
      fields: [],
    },
  ];
  site = await startSite({ endpoint: api.url, inlineTimeoutMs: 0 }, {}, { collections }, folder);
  const { payload, editor } = site;
  const team = await payload.create({ collection: "teams" as never, data: { mayDescribe: true } as never });
  const data = { team: (team as { id: number }).id } as never;
  await payload.update({ collection: "users" as never, id: editor.id as never, data });
  const [id] = (await undescribed(1)) as [number];
  await site.request("/alt-text/media/runs", json({ missing: true }));
  await site.runJobs();
  expect(await site.read(id)).toMatchObject({ alt: "A dog on grass" });
});

test("a run of a person who may change documents but not the text says so, and changes nothing", async () => {
  await site.stop();
  const access = { update: ({ req }: { req: PayloadRequest }) => !req.user };
  site = await startSite(
    { endpoint: api.url, inlineTimeoutMs: 0 },
    { fields: [{ name: "alt", type: "text", access }] },
  );
  const [id] = (await undescribed(1)) as [number];
  const response = await site.request("/alt-text/media/runs", json({ missing: true }));
  const { run } = (await response.json()) as { run: { id: number } };
  await site.runJobs();
  const seen = await site.request(`/alt-text-runs/${run.id}`, {});
  expect(await seen.json()).toMatchObject({
    status: "completed",
    failed: 1,
    reasons: [{ id, reason: "You may not change this document." }],
  });
  expect(await site.read(id)).toMatchObject({ altState: "pending", altSource: null });
});

describe("the backfill", () => {
  const run = async (isDryRun: boolean, waits: number[] = []) => {
    const lines: string[] = [];
    const wait = async (ms: number) => void waits.push(ms);
    const summary = await backfill(site.payload, { isDryRun, print: (line) => lines.push(line), wait });
    return { lines, summary };
  };

  test("says what it would do, does it, and has nothing left to do", async () => {
    const ids = await undescribed(5);
    expect((await run(true)).lines[0]).toBe("media: 5 without alt text, nothing is written");
    expect(api.requests).toEqual([]);
    expect((await site.read(ids[0] as number)).alt ?? "").toBe("");
    expect((await run(false)).summary).toEqual({ generated: 5, cached: 0, skipped: 0, failed: 0 });
    expect((await run(false)).lines[0]).toBe("media: 0 without alt text");
  });

  test.each([
    ["answers that there is nothing", problem(404, "not-found")],
    [
      "stands behind a proxy that does not let them through",
      ((_, response) => void response.writeHead(405).end()) as StandIn["answer"],
    ],
  ])("of a large library from an API without jobs, which %s, asks one by one", async (_, jobs) => {
    const ids = await undescribed(BACKFILL_JOB_FROM);
    api.answer = (request, response, body) =>
      (request.url === "/v1/jobs" ? jobs : caption())(request, response, body);
    const { lines, summary } = await run(false);
    expect(lines.filter((line) => line.includes("one by one"))).toEqual([
      "media: The caption API does not offer jobs. Pictures are asked for one by one.",
    ]);
    expect(api.requests.filter((line) => line.includes("jobs"))).toEqual(["POST /v1/jobs"]);
    expect(summary).toEqual({ generated: ids.length, cached: 0, skipped: 0, failed: 0 });
  });

  test("of a large library waits for an absent captioner before it makes the job, and stops if the key is refused", async () => {
    await undescribed(BACKFILL_JOB_FROM);
    api.answer = problem(429, "rate-limited", { "retry-after": "9" });
    const waits: number[] = [];
    const { lines, summary } = await run(false, waits);
    expect(waits.slice(0, 3)).toEqual([9000, 9000, 15_000]);
    expect(lines.at(-1)).toBe("Stopped: The caption API gets too many requests. Run it again to go on.");
    expect(summary).toEqual({ generated: 0, cached: 0, skipped: 0, failed: 1 });
    api.answer = problem(401, "unauthorized");
    expect((await run(false)).lines.at(-1)).toMatch(
      /^Stopped: The caption API does not accept the site's key\./,
    );
  });

  test.each([
    ["is empty", problem(400, "empty-body"), "The file is empty."],
    [
      "a proxy finds too large",
      ((_, response) =>
        void response.writeHead(413, { "content-type": "text/html" }).end()) as StandIn["answer"],
      "Something in front of the caption API refuses files as large as this one.",
    ],
  ])("passes over a file that %s, and describes the others", async (_, refusal, reason) => {
    const ids = await undescribed(3);
    let refused = false;
    api.answer = (request, response, body) => {
      const isFirst = request.method === "POST" && !refused;
      refused ||= isFirst;
      return (isFirst ? refusal : caption())(request, response, body);
    };
    const waits: number[] = [];
    const { lines, summary } = await run(false, waits);
    expect(waits).toEqual([]);
    expect(summary).toEqual({ generated: ids.length - 1, cached: 0, skipped: 0, failed: 1 });
    expect(lines.filter((line) => line.endsWith(reason))).toHaveLength(1);
  });

  test("asks again for a picture that arrived too slowly", async () => {
    await undescribed(1);
    let isFirst = true;
    api.answer = (request, response, body) => {
      if (request.method !== "POST" || !isFirst) return caption()(request, response, body);
      isFirst = false;
      return problem(408, "upload-timeout")(request, response, body);
    };
    expect((await run(false)).summary).toEqual({ generated: 1, cached: 0, skipped: 0, failed: 0 });
  });

  test("waits for a captioner that is away, and stops with a sentence when it stays away", async () => {
    await undescribed(1);
    api.answer = problem(503, "unavailable", { "retry-after": "7" });
    const waits: number[] = [];
    const { lines, summary } = await run(false, waits);
    expect(waits.slice(0, 3)).toEqual([7000, 7000, 15_000]);
    expect(summary.failed).toBe(1);
    expect(lines.at(-1)).toMatch(/Run it again to go on/);
    api.answer = caption();
    expect((await run(false)).summary.generated).toBe(1);
  });
});
