import {
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Webhook } from "standardwebhooks";
import { expect, test, vi } from "vitest";
import { apiKeyStorageKey } from "../../../shared/api-key.ts";
import { toCaption } from "../../../shared/caption.ts";
import { toProblem } from "../../../shared/problem.ts";
import { parseConfig } from "../../../worker/config.ts";
import type { Bindings } from "../../../worker/env.ts";
import worker from "../../../worker/index.ts";
import type { CaptionJob, TakenChunk } from "../../../worker/jobs/caption-job.ts";
import { FRUITLESS_HOST_PAUSES, ITEM_ATTEMPTS, MAX_HOST_PAUSE_MS } from "../../../worker/jobs/limits.ts";
import { problemOf, useFakeNetwork } from "../support/edge-test.ts";
import {
  CAPTIONER_HOST,
  ended,
  jobOf,
  linesOf,
  ndjson,
  PATIENCE_MS,
  postJob,
  servePictures,
  startKeyedEdge,
} from "../support/jobs.ts";

const network = useFakeNetwork();
const serve = (count: number) => servePictures(network(), count);
const items = (urls: readonly string[]) => ndjson(urls.map((url) => ({ url })));

const busy = () =>
  Response.json(
    { type: "urn:problem:overloaded", title: "", status: 429, code: "overloaded", detail: "" },
    { status: 429, headers: { "retry-after": "1" } },
  );

const captioned = () =>
  Response.json([{ generated_text: "a dog" }], {
    headers: { "x-model-id": "tiny/blip", "x-model-revision": "r1", "x-caption-score": "0.5" },
  });

/** What the job does now, with no consumer of the queue: messages are held back. */
function withoutConsumer(): void {
  vi.spyOn(env.JOB_QUEUE, "sendBatch").mockResolvedValue(undefined as never);
}

async function jobWithoutConsumer(pictures: number) {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  withoutConsumer();
  const job = await jobOf(await postJob(edge, items(serve(pictures))));
  return { edge, job, stub: env.JOBS.getByName(job.id) };
}

test("a captioner that is busy slows the job by its Retry-After, and costs no item an attempt", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  let refusals = 0;
  let isPauseSeen = false;
  backend.answer = () => (refusals++ < 6 || !isPauseSeen ? busy() : captioned());
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(5))));
  const paused = await vi.waitFor(async () => {
    const now = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
    if (now.paused === null) throw new Error("not paused");
    return now;
  }, PATIENCE_MS);
  expect(paused).toMatchObject({ status: "running", paused: { reason: "overloaded" } });
  isPauseSeen = true;
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 5, failed: 0 });
});

test("the log says which job was worked on, and what held its items up", async () => {
  network().backend(CAPTIONER_HOST).answer = busy;
  const edge = await startKeyedEdge();
  withoutConsumer();
  const { id } = await jobOf(await postJob(edge, items(serve(1))));
  const batch = createMessageBatch("caption-jobs", [
    { id: "1", timestamp: new Date(), attempts: 1, body: { job: id, chunk: 0 } },
  ]);
  const info = vi.spyOn(console, "info").mockImplementation(() => {});
  const fresh = { ...env, ACCESS: "keys", LOG_LEVEL: "info", BACKEND_URLS: `http://${CAPTIONER_HOST}` };
  await worker.queue(batch, fresh as Bindings, createExecutionContext());
  const line = JSON.parse(String(info.mock.calls[0]?.[0]));
  expect(line).toMatchObject({ method: "QUEUE", status: 200, job: id, problems: { overloaded: 1 } });
});

test("hosts that declare no length slow nobody: their pictures hold only their own bytes once they are there", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  const areFourThere = Promise.withResolvers<void>();
  let asked = 0;
  backend.answer = async () => {
    asked += 1;
    if (asked === 4) areFourThere.resolve();
    await areFourThere.promise;
    return captioned();
  };
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(4))));
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 4 });
});

test("a consumer leaves two of its six connections to the cache, and takes no part of a job that it cannot begin", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  const isHeld = Promise.withResolvers<void>();
  let open = 0;
  let mostOpen = 0;
  backend.answer = async () => {
    open += 1;
    mostOpen = Math.max(mostOpen, open);
    await isHeld.promise;
    open -= 1;
    return captioned();
  };
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(30))));
  await vi.waitFor(() => expect(open).toBe(4), PATIENCE_MS);
  const stub = env.JOBS.getByName(job.id);
  const second = (await stub.take(1, false)) as TakenChunk | undefined;
  expect(second?.items).toHaveLength(5);
  await stub.close(1, [], undefined);
  isHeld.resolve();
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 30 });
  expect(mostOpen).toBe(4);
});

test("a captioner that is dead for a while is waited for", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  backend.dead = true;
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(3))));
  await vi.waitFor(async () => {
    const { paused } = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
    expect(paused?.reason).toBe("unavailable");
  }, PATIENCE_MS);
  backend.dead = false;
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 3, failed: 0 });
});

const late = () =>
  Response.json(toProblem({ code: "deadline-exceeded", detail: "Not in time." }), { status: 504 });

test("a picture that is always too slow for a captioner that captions others is given up after three tries of its own", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  const [slow = "", ...others] = serve(3);
  const bytes = await (await network().pages.get(slow)?.())?.bytes();
  backend.answer = async (request) => {
    const isSlow = Buffer.compare(await request.bytes(), bytes ?? new Uint8Array()) === 0;
    return isSlow ? late() : captioned();
  };
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items([slow, ...others])));
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 2, failed: 1 });
  expect(await linesOf(edge, job.id)).toMatchObject([
    { problem: { code: "deadline-exceeded" } },
    { status: "generated" },
    { status: "generated" },
  ]);
});

test("an item that is late beside others may only have waited for them, so it counts only if nothing else of the job is under way", async () => {
  const { edge, stub } = await jobWithoutConsumer(30);
  const pause = { reason: "overloaded", ms: -1, isLate: true } as const;
  const failure = { code: "deadline-exceeded", detail: "" } as const;
  const report = { index: 0, failure, isLate: true };
  const first = (await stub.take(0, false)) as TakenChunk;
  expect(first.isSerial).toBe(false);
  await stub.take(1, false);
  await stub.close(0, [], pause);
  expect(((await stub.take(0, false)) as TakenChunk).isSerial).toBe(true);
  for (let count = 0; count <= ITEM_ATTEMPTS; count++) await stub.close(0, [report], pause);
  expect((await stub.look(edge.keyId))?.counts).toMatchObject({ failed: 0, waiting: 30 });
  await runInDurableObject(stub, (_instance, { storage }) => {
    storage.sql.exec("UPDATE chunks SET state = 'done' WHERE n = 1");
  });
  for (let count = 0; count < ITEM_ATTEMPTS; count++) await stub.close(0, [report], pause);
  expect((await stub.look(edge.keyId))?.counts).toMatchObject({ failed: 1, waiting: 29 });
});

test("a captioner that captions nothing in time is waited for, and costs no item an attempt", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  let isSlow = true;
  backend.answer = () => (isSlow ? late() : captioned());
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(1))));
  const stub = env.JOBS.getByName(job.id);
  await vi.waitFor(() => expect(backend.requests.length).toBeGreaterThan(1), PATIENCE_MS);
  const attempts = () =>
    runInDurableObject(stub, (_instance, { storage }) =>
      storage.sql.exec<{ attempts: number }>("SELECT attempts FROM items").one(),
    );
  await vi.waitFor(async () => {
    const { paused } = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
    expect(paused?.reason).toBe("unavailable");
  }, PATIENCE_MS);
  expect(await attempts()).toEqual({ attempts: 0 });
  isSlow = false;
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 1, failed: 0 });
});

test("an item whose failure may pass is tried three times, and then fails", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  const [good = "", bad = ""] = serve(2);
  let fetched = 0;
  network().pages.set(bad, () => {
    fetched += 1;
    return new Response(null, { status: 500 });
  });
  backend.answer = captioned;
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items([good, bad])));
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 1, failed: 1 });
  expect(fetched).toBe(3);
  expect(await linesOf(edge, job.id)).toMatchObject([
    { status: "generated" },
    { problem: { code: "url-unreachable" } },
  ]);
});

test("a host that limits how often it is asked is waited for, and costs no item an attempt", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const [first = "", ...others] = serve(4);
  const picture = network().pages.get(first);
  let refusals = 0;
  let isPauseSeen = false;
  network().pages.set(first, () =>
    refusals++ < 4 || !isPauseSeen
      ? new Response("", { status: 429, headers: { "retry-after": "1" } })
      : (picture?.() ?? Response.error()),
  );
  const job = await jobOf(await postJob(edge, items([first, ...others])));
  const paused = await vi.waitFor(async () => {
    const now = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
    if (now.paused === null) throw new Error("not paused");
    return now.paused;
  }, PATIENCE_MS);
  expect(paused.reason).toBe("url-unreachable");
  isPauseSeen = true;
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 4, failed: 0 });
});

test("a host that refuses for good is given up, and its items fail after their tries", async () => {
  const { edge, job, stub } = await jobWithoutConsumer(1);
  const failure = { code: "url-unreachable", detail: "It asks for a pause." } as const;
  const refused = { index: 0, failure, isHostBusy: true };
  const rounds = FRUITLESS_HOST_PAUSES + ITEM_ATTEMPTS;
  for (let round = 1; round <= rounds; round++) {
    const { counts } = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
    expect([round, counts.waiting]).toEqual([round, 1]);
    await stub.close(0, [refused], { reason: failure.code, ms: -1, isHostBusy: true });
  }
  expect(await jobOf(await edge.fetch(`/v1/jobs/${job.id}`))).toMatchObject({
    status: "completed",
    counts: { failed: 1 },
    paused: null,
  });
});

test("a host that asks for a day holds a job up for minutes", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const [url = ""] = serve(1);
  network().pages.set(url, () => new Response(null, { status: 429, headers: { "retry-after": "86400" } }));
  const job = await jobOf(await postJob(edge, items([url])));
  const until = await vi.waitFor(async () => {
    const { paused } = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
    if (paused === null) throw new Error("not paused");
    return Date.parse(paused.until);
  }, PATIENCE_MS);
  expect(until).toBeLessThanOrEqual(Date.now() + MAX_HOST_PAUSE_MS);
});

test("a part whose message the queue gave up after one consumer had begun it blames no item", async () => {
  const { edge, stub } = await jobWithoutConsumer(2);
  await stub.take(0, false);
  await stub.giveUp(0);
  expect((await stub.look(edge.keyId))?.counts).toMatchObject({ failed: 0, waiting: 2 });
});

test("hosts' pauses are heeded again once something of the job was done", async () => {
  const { edge, stub } = await jobWithoutConsumer(2);
  const failure = { code: "url-unreachable", detail: "It asks for a pause." } as const;
  const pauses = async (count: number) => {
    const pause = { reason: failure.code, ms: -1, isHostBusy: true };
    for (let i = 0; i < count; i++) await stub.close(0, [{ index: 0, failure, isHostBusy: true }], pause);
  };
  await pauses(FRUITLESS_HOST_PAUSES);
  await stub.record(0, [{ index: 1, outcome: { status: "error", problem: toProblem(failure) } }]);
  await pauses(ITEM_ATTEMPTS);
  expect((await stub.look(edge.keyId))?.counts).toMatchObject({ failed: 1, waiting: 1 });
});

test("when the day's quota is used up the job waits for the next one, and says so", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge({ dailyQuota: 2 });
  const job = await jobOf(await postJob(edge, items(serve(5))));
  const waiting = await vi.waitFor(async () => {
    const now = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
    if (now.paused === null) throw new Error("not paused");
    return now;
  }, PATIENCE_MS);
  expect(waiting).toMatchObject({
    status: "running",
    counts: { generated: 2, waiting: 3 },
    paused: { reason: "quota-exceeded", until: expect.stringMatching(/T00:00:0\d/) },
  });
  const pausedMs = Date.parse(waiting.paused?.until ?? "") - Date.now();
  expect(waiting.seconds_left).toBeGreaterThanOrEqual(pausedMs / 1000);
  expect((await jobOf(await edge.fetch(`/v1/jobs/${job.id}`, { method: "DELETE" }))).counts.cancelled).toBe(
    3,
  );
});

test("cancelling ends what has not begun and keeps what is done", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  let isHeld = true;
  backend.answer = async () => {
    // Polled: what one request resolves, another may not wait for.
    while (isHeld) await new Promise((resolve) => setTimeout(resolve, 10));
    return captioned();
  };
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(100))));
  await vi.waitFor(() => expect(backend.requests.length).toBeGreaterThan(0), PATIENCE_MS);
  const cancelled = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`, { method: "DELETE" }));
  expect(cancelled).toMatchObject({ status: "cancelled", finished_at: null });
  isHeld = false;
  const { counts, status } = await ended(edge, job.id);
  expect(status).toBe("cancelled");
  expect(counts.waiting).toBe(0);
  expect(counts.generated + counts.cancelled).toBe(100);
  expect(counts.generated).toBe(backend.requests.length);
  expect(await linesOf(edge, job.id)).toHaveLength(counts.generated);
  const again = await edge.fetch(`/v1/jobs/${job.id}`, { method: "DELETE" });
  expect((await jobOf(again)).status).toBe("cancelled");
});

test("a key that is revoked while its job runs ends the job", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  backend.answer = busy;
  const edge = await startKeyedEdge();
  withoutConsumer();
  const job = await jobOf(await postJob(edge, items(serve(30))));
  vi.restoreAllMocks();
  await env.KEYS.delete(apiKeyStorageKey(edge.keyId));
  const batch = createMessageBatch("caption-jobs", [
    { id: "1", timestamp: new Date(), attempts: 1, body: { job: job.id, chunk: 0 } },
  ]);
  const fresh = { ...env, ACCESS: "keys", LOG_LEVEL: "error", BACKEND_URLS: "http://127.0.0.1:8788" };
  await worker.queue(batch, fresh as Bindings, createExecutionContext());
  const stub = env.JOBS.getByName(job.id);
  expect(await stub.look(edge.keyId)).toMatchObject({
    status: "failed",
    problem: { code: "unauthorized" },
    counts: { waiting: 0, cancelled: 30 },
  });
});

test("a key that is revoked while its job waits for its quota ends the job when the wait is over", async () => {
  const { edge, job, stub } = await jobWithoutConsumer(30);
  await stub.take(0, false);
  await stub.close(0, [], { reason: "quota-exceeded", ms: DAY_MS });
  await env.KEYS.delete(apiKeyStorageKey(edge.keyId));
  const sent = vi.spyOn(env.JOB_QUEUE, "sendBatch");
  const tomorrow = Date.now() + DAY_MS + 1;
  await alarmAt(job.id, tomorrow);
  expect(sent).toHaveBeenCalledWith(expect.arrayContaining([{ body: { job: job.id, chunk: 0 } }]));
  vi.spyOn(Date, "now").mockReturnValue(tomorrow);
  const batch = createMessageBatch("caption-jobs", [
    { id: "1", timestamp: new Date(), attempts: 1, body: { job: job.id, chunk: 0 } },
  ]);
  const fresh = { ...env, ACCESS: "keys", LOG_LEVEL: "error", BACKEND_URLS: "http://127.0.0.1:8788" };
  await worker.queue(batch, fresh as Bindings, createExecutionContext());
  expect(await stub.look(edge.keyId)).toMatchObject({ status: "failed", counts: { cancelled: 30 } });
});

test("another key's job is not found", async () => {
  network().backend(CAPTIONER_HOST);
  const [edge, other] = [await startKeyedEdge(), await startKeyedEdge()];
  const job = await jobOf(await postJob(edge, items(serve(1))));
  for (const path of ["", "/results", "/events"]) {
    const response = await other.fetch(`/v1/jobs/${job.id}${path}`);
    expect([response.status, (await problemOf(response)).code]).toEqual([404, "job-not-found"]);
  }
  expect((await other.fetch(`/v1/jobs/${job.id}`, { method: "DELETE" })).status).toBe(404);
  await ended(edge, job.id);
});

test("of two consumers of the same message one works, and what is reported twice counts once", async () => {
  const { edge, stub } = await jobWithoutConsumer(3);
  const taken = (await stub.take(0, false)) as TakenChunk | undefined;
  expect(taken?.items).toHaveLength(3);
  expect(await stub.take(0, false)).toBeUndefined();
  const outcome = {
    status: "error",
    problem: { type: "", title: "", status: 422, code: "unreadable-image", detail: "" },
  } as const;
  await stub.record(0, [{ index: 0, outcome }]);
  await stub.record(0, [{ index: 0, outcome }]);
  expect((await stub.look(edge.keyId))?.counts).toMatchObject({ failed: 1, waiting: 2 });
});

test("a message that is lost is sent again by the job's alarm", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  withoutConsumer();
  const job = await jobOf(await postJob(edge, items(serve(2))));
  vi.restoreAllMocks();
  network();
  const stub = env.JOBS.getByName(job.id);
  await runInDurableObject(stub, (_instance, { storage }) => {
    storage.sql.exec("UPDATE chunks SET due = 0");
  });
  const send = vi.spyOn(env.JOB_QUEUE, "sendBatch");
  expect(await runDurableObjectAlarm(stub)).toBe(true);
  expect(send).toHaveBeenCalledWith([{ body: { job: job.id, chunk: 0 } }]);
});

test("an item that ends every consumer that takes it is given up, the others are not", async () => {
  const { edge, job, stub } = await jobWithoutConsumer(3);
  const first = (await stub.take(0, false)) as TakenChunk | undefined;
  expect(first?.isSerial).toBe(false);
  const second = (await stub.take(0, true)) as TakenChunk | undefined;
  expect(second?.isSerial).toBe(true);
  const dead = createMessageBatch("caption-jobs-dead", [
    { id: "1", timestamp: new Date(), attempts: 1, body: { job: job.id, chunk: 0 } },
  ]);
  const context = createExecutionContext();
  await worker.queue(dead, { ...env, LOG_LEVEL: "error" } as Bindings, context);
  expect((await getQueueResult(dead, context)).explicitAcks).toEqual(["1"]);
  expect((await stub.look(edge.keyId))?.counts).toMatchObject({ failed: 1, waiting: 2 });
  expect(await linesOf(edge, job.id)).toMatchObject([{ index: 0, problem: { code: "internal" } }]);
  const rest = (await stub.take(0, false)) as TakenChunk | undefined;
  expect(rest?.items.map(({ index }) => index)).toEqual([1, 2]);
  expect(rest?.isSerial).toBe(true);
});

test("a part whose consumers end at different items gives none of them up, because each consumer got further", async () => {
  const { edge, job, stub } = await jobWithoutConsumer(10);
  const outcome = { status: "error", problem: toProblem({ code: "not-captioned", detail: "" }) } as const;
  for (let index = 0; index < 6; index++) {
    await stub.take(0, index > 0);
    await stub.record(0, [{ index, outcome }]);
    await runInDurableObject(stub, (_instance, { storage }) => {
      storage.sql.exec("UPDATE chunks SET due = 0");
    });
    await runDurableObjectAlarm(stub);
  }
  await stub.take(0, false);
  await stub.record(0, [{ index: 6, outcome }]);
  await stub.giveUp(0);
  const lines = await linesOf(edge, job.id);
  expect(lines).toMatchObject(Array.from({ length: 7 }, () => ({ problem: { code: "not-captioned" } })));
  expect(((await stub.take(0, false)) as TakenChunk | undefined)?.isSerial).toBe(true);
});

const DAY_MS = 24 * 3_600_000;

/** The alarm of a job as it goes off at `time`. */
async function alarmAt(id: string, time: number): Promise<void> {
  const clock = vi.spyOn(Date, "now").mockReturnValue(time);
  await runInDurableObject(env.JOBS.getByName(id), (instance: CaptionJob) => instance.alarm());
  clock.mockRestore();
}

test("an alarm that failed until the platform gave it up is set again when somebody asks for the job", async () => {
  withoutConsumer();
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(1))));
  const stub = env.JOBS.getByName(job.id);
  const alarm = () => runInDurableObject(stub, (_instance, { storage }) => storage.getAlarm());
  await runInDurableObject(stub, async (instance: CaptionJob, { storage }) => {
    vi.spyOn(storage.sql, "exec").mockImplementationOnce(() => {
      throw new Error("The storage is away.");
    });
    await expect(instance.alarm()).rejects.toThrow("The storage is away.");
    await storage.deleteAlarm();
  });
  expect(await alarm()).toBeNull();
  expect((await edge.fetch(`/v1/jobs/${job.id}`)).status).toBe(200);
  expect(await alarm()).toBeGreaterThan(Date.now());
  expect(await stub.cancel(edge.keyId)).toMatchObject({ status: "cancelled" });
});

test("a job and its results are gone seven days after its end", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(1))));
  const { finished_at, expires_at } = await ended(edge, job.id);
  const end = Date.parse(finished_at ?? "");
  expect(Date.parse(expires_at)).toBe(end + 7 * DAY_MS);
  const stub = env.JOBS.getByName(job.id);
  await alarmAt(job.id, end + 7 * DAY_MS - 1);
  expect(await stub.look(edge.keyId)).toMatchObject({ status: "completed" });
  await alarmAt(job.id, end + 7 * DAY_MS);
  expect(await stub.look(edge.keyId)).toBeUndefined();
});

test("a job that a small quota holds up for weeks goes on, and one that is not done in 30 days fails and says so", async () => {
  withoutConsumer();
  const edge = await startKeyedEdge();
  const { url, received } = receiver(() => new Response(null, { status: 204 }));
  const lines = serve(2).map((address) => ({ url: address }));
  const job = await jobOf(await postJob(edge, { items: lines, webhook: url }));
  const made = Date.parse(job.created_at);
  const stub = env.JOBS.getByName(job.id);
  await alarmAt(job.id, made + 20 * DAY_MS);
  expect(await stub.look(edge.keyId)).toMatchObject({ status: "queued", counts: { waiting: 2 } });
  const chunk = (await stub.take(0, false)) as TakenChunk;
  const caption = toCaption({
    sha256: "0".repeat(64),
    generated: { caption: "a dog", score: 0.5, model: { id: "m", revision: "r" } },
    cached: false,
    maxLength: undefined,
    review: undefined,
  });
  await stub.record(0, [{ index: chunk.items[0]?.index ?? 0, outcome: { ...caption, status: "generated" } }]);

  await alarmAt(job.id, made + 30 * DAY_MS);
  const failed = await stub.look(edge.keyId);
  expect(failed).toMatchObject({
    status: "failed",
    counts: { generated: 1, cancelled: 1, waiting: 0 },
    problem: { code: "deadline-exceeded" },
  });
  expect(Date.parse(failed?.expires_at ?? "")).toBe(made + 37 * DAY_MS);
  expect(received.map(({ body }) => JSON.parse(body))).toMatchObject([
    { type: "caption.job.completed", data: { id: job.id, status: "failed" } },
  ]);
});

/** A receiver that answers as told and keeps what it was sent. */
function receiver(answer: () => Response | Promise<Response>) {
  const url = `https://hooks.example.com/${crypto.randomUUID()}`;
  const received: { readonly headers: Headers; readonly body: string }[] = [];
  network().pages.set(url, answer);
  const inner = vi.mocked(globalThis.fetch).getMockImplementation();
  vi.mocked(globalThis.fetch).mockImplementation(async (input, init) => {
    if (input === url)
      received.push({ headers: new Headers(init?.headers as HeadersInit), body: String(init?.body) });
    return inner?.(input, init) ?? new Response(null, { status: 500 });
  });
  return { url, received };
}

/** Indices of the lines that chunk events brought, in order. */
function toldLines(received: readonly { readonly body: string }[]): number[] {
  return received
    .map(({ body }) => JSON.parse(body) as { type: string; data: { lines?: { index: number }[] } })
    .flatMap(({ data }) => (data.lines ?? []).map(({ index }) => index))
    .sort((a, b) => a - b);
}

test("a webhook is told of the end, with a signature that the library verifies; its secret is shown only to whoever creates the job", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const { url, received } = receiver(() => new Response(null, { status: 204 }));
  const headers = { "idempotency-key": crypto.randomUUID() };
  const body = {
    items: serve(2).map((picture) => ({ url: picture })),
    webhook: { url, events: ["caption.job.completed", "caption.job.chunk"] },
  };
  const job = await jobOf(await postJob(edge, body, { headers }));
  const secret = job.webhook?.secret ?? "";
  expect(secret).toMatch(/^whsec_[\w+/]{32}$/);
  expect((await jobOf(await postJob(edge, body, { headers }))).webhook?.secret).toBe(secret);
  await vi.waitFor(async () => {
    const { webhook } = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
    expect(webhook?.secret).toBeUndefined();
    expect(webhook?.delivery).toBe("delivered");
  }, PATIENCE_MS);
  const events = received.map(({ headers: sent, body: text }) =>
    new Webhook(secret).verify(text, Object.fromEntries(sent)),
  );
  expect(events).toMatchObject([
    { type: "caption.job.chunk", data: { id: job.id, lines: [{ index: 0 }, { index: 1 }] } },
    { type: "caption.job.completed", data: { id: job.id, status: "completed", counts: { generated: 2 } } },
  ]);
});

test("a webhook for chunks is told every line of the results, those of items that were never begun too", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const good = serve(25).map((url) => ({ url }));
  const bad = { id: "bad" };
  for (const list of [
    [bad, bad],
    [...good, bad],
  ]) {
    const { url, received } = receiver(() => new Response(null, { status: 204 }));
    const webhook = { url, events: ["caption.job.chunk", "caption.job.completed"] };
    const job = await jobOf(await postJob(edge, { items: list, webhook }));
    await vi.waitFor(async () => {
      expect((await jobOf(await edge.fetch(`/v1/jobs/${job.id}`))).webhook?.delivery).toBe("delivered");
    }, PATIENCE_MS);
    expect(toldLines(received)).toEqual(list.map((_, index) => index));
  }
});

test("a receiver that takes its time does not hold up the job, whose pause ends meanwhile", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const held = Promise.withResolvers<Response>();
  const slow = receiver(() => held.promise);
  const list = serve(26);
  const [last = ""] = list.slice(-1);
  const picture = network().pages.get(last);
  // The host of the second chunk asks for a pause until the first chunk is being delivered.
  network().pages.set(last, () =>
    slow.received.length === 0
      ? new Response("", { status: 429, headers: { "retry-after": "1" } })
      : (picture?.() ?? Response.error()),
  );
  const webhook = { url: slow.url, events: ["caption.job.chunk"] };
  const job = await jobOf(await postJob(edge, { items: list.map((url) => ({ url })), webhook }));
  expect((await ended(edge, job.id)).counts).toMatchObject({ generated: 26 });
  expect(slow.received).toHaveLength(1);
  held.resolve(new Response(null, { status: 204 }));
  await vi.waitFor(async () => {
    expect((await jobOf(await edge.fetch(`/v1/jobs/${job.id}`))).webhook?.delivery).toBe("delivered");
  }, PATIENCE_MS);
});

test("a webhook for chunks is told what was done of a cancelled job, and nothing about chunks without results", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const { url, received } = receiver(() => new Response(null, { status: 204 }));
  const webhook = { url, events: ["caption.job.chunk", "caption.job.completed"] };
  withoutConsumer();
  const list = serve(60).map((picture) => ({ url: picture }));
  const job = await jobOf(await postJob(edge, { items: list, webhook }));
  const stub = env.JOBS.getByName(job.id);
  await stub.take(0, false);
  const failure = { code: "not-captioned", detail: "" } as const;
  const outcome = { status: "error", problem: toProblem(failure) } as const;
  await stub.record(0, [{ index: 3, outcome }]);
  await stub.close(0, [], { reason: "overloaded", ms: 60_000 });
  await stub.cancel(edge.keyId);
  await vi.waitFor(async () => {
    expect((await jobOf(await edge.fetch(`/v1/jobs/${job.id}`))).webhook?.delivery).toBe("delivered");
  }, PATIENCE_MS);
  expect(received).toHaveLength(2);
  expect(toldLines(received)).toEqual([3]);
});

test("a webhook for chunks only is delivered when all of them are, and undelivered if one of them was not", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const list = serve(30).map((picture) => ({ url: picture }));
  const deliveryOf = async (events: readonly string[], statuses: number[]) => {
    const { url } = receiver(() => new Response(null, { status: statuses.shift() ?? 204 }));
    const job = await jobOf(await postJob(edge, { items: list, webhook: { url, events } }));
    await ended(edge, job.id);
    return vi.waitFor(async () => {
      const { webhook } = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
      expect(webhook?.delivery).not.toBe("pending");
      return webhook?.delivery;
    }, PATIENCE_MS);
  };
  expect(await deliveryOf(["caption.job.chunk"], [])).toBe("delivered");
  expect(await deliveryOf(["caption.job.chunk", "caption.job.completed"], [410])).toBe("undelivered");
});

test("an event that was given up stays undelivered while another one is tried again", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  let isHeld = true;
  let asked = 0;
  const { url } = receiver(async () => {
    asked += 1;
    if (asked === 1) return new Response(null, { status: 410 });
    // Polled: what one request resolves, another may not wait for.
    while (isHeld) await new Promise((resolve) => setTimeout(resolve, 10));
    return new Response(null, { status: 503 });
  });
  const events = ["caption.job.chunk", "caption.job.completed"];
  const job = await jobOf(
    await postJob(edge, { items: serve(1).map((picture) => ({ url: picture })), webhook: { url, events } }),
  );
  const webhookWhen = (failure: string) =>
    vi.waitFor(async () => {
      const { webhook } = await jobOf(await edge.fetch(`/v1/jobs/${job.id}`));
      expect(webhook?.last_failure).toContain(failure);
      return webhook;
    }, PATIENCE_MS);
  expect(await webhookWhen("gone (410)")).toMatchObject({ delivery: "undelivered" });
  isHeld = false;
  expect(await webhookWhen("success (2xx)")).toMatchObject({ delivery: "undelivered" });
});

test("a webhook that fails is tried again with the same id, and the job says why; one that redirects inwards is not called there", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const statuses = [500, 200];
  const webhookOf = async (id: string) => (await jobOf(await edge.fetch(`/v1/jobs/${id}`))).webhook;
  const flaky = receiver(() => new Response(null, { status: statuses.shift() ?? 500 }));
  const job = await jobOf(
    await postJob(edge, items(serve(1)), { query: `?webhook=${encodeURIComponent(flaky.url)}` }),
  );
  await vi.waitFor(async () => {
    expect(await webhookOf(job.id)).toEqual({
      url: flaky.url,
      delivery: "pending",
      last_failure: "It did not answer with success (2xx).",
    });
  }, PATIENCE_MS);
  await vi.waitFor(() => expect(flaky.received).toHaveLength(2), PATIENCE_MS);
  expect(flaky.received[0]?.headers.get("webhook-id")).toBe(flaky.received[1]?.headers.get("webhook-id"));
  await vi.waitFor(async () => {
    expect(await webhookOf(job.id)).toEqual({ url: flaky.url, delivery: "delivered" });
  }, PATIENCE_MS);

  const inner = vi.fn(() => new Response(null));
  network().pages.set("http://127.0.0.1/internal", inner);
  const inwards = receiver(
    () => new Response(null, { status: 307, headers: { location: "http://127.0.0.1/internal" } }),
  );
  const other = await jobOf(
    await postJob(edge, items(serve(1)), { query: `?webhook=${encodeURIComponent(inwards.url)}` }),
  );
  await vi.waitFor(async () => {
    expect(await webhookOf(other.id)).toMatchObject({
      delivery: "undelivered",
      last_failure: "The address may not be fetched: the address is not public.",
    });
  }, PATIENCE_MS);
  expect(inner).not.toHaveBeenCalled();
});

test("a cancelled job also ends if the queue gave up on a chunk that was taken", async () => {
  const { edge, stub } = await jobWithoutConsumer(3);
  await stub.take(0, false);
  await stub.take(0, true);
  expect(await stub.cancel(edge.keyId)).toMatchObject({ status: "cancelled", finished_at: null });
  await stub.giveUp(0);
  expect(await stub.look(edge.keyId)).toMatchObject({
    status: "cancelled",
    finished_at: expect.any(String),
    counts: { waiting: 0, failed: 1, cancelled: 2 },
  });
});

test("a key that is revoked after the end changes nothing of a job", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, items(serve(1))));
  await ended(edge, job.id);
  const stub = env.JOBS.getByName(job.id);
  await stub.fail({ code: "unauthorized", detail: "The key was revoked." });
  expect(await stub.look(edge.keyId)).toMatchObject({ status: "completed", problem: null });
});

test("a request whose receiver ended can be sent again as soon as the first can no longer be arriving", async () => {
  const start = { id: `job_${"b".repeat(32)}`, owner: "somebody" };
  const stub = env.JOBS.getByName(start.id);
  const begunAt = Date.now();
  expect(await stub.begin(start)).toEqual({ kind: "new" });
  expect(await stub.begin(start)).toEqual({ kind: "receiving" });
  const { UPLOAD_TIMEOUT_MS } = parseConfig(env);
  const at = await runInDurableObject(stub, (_instance, { storage }) => storage.getAlarm());
  expect(at).toBeGreaterThan(begunAt + UPLOAD_TIMEOUT_MS);
  expect(at).toBeLessThan(begunAt + 2 * UPLOAD_TIMEOUT_MS);
  await alarmAt(start.id, at ?? 0);
  expect(await stub.begin(start)).toEqual({ kind: "new" });
  await stub.discard();
});

test("a request that comes again after it broke off has an alarm of its own", async () => {
  const start = { id: `job_${"a".repeat(32)}`, owner: "somebody" };
  const stub = env.JOBS.getByName(start.id);
  const alarm = () => runInDurableObject(stub, (_instance, { storage }) => storage.getAlarm());
  for (let turn = 0; turn < 2; turn++) {
    expect(await stub.begin(start)).toEqual({ kind: "new" });
    expect(await alarm()).toBeGreaterThan(Date.now());
    await stub.discard();
    expect(await alarm()).toBeNull();
  }
});

test.each([
  ["is restarted with new code", { retryable: true }, "2"],
  ["has no room", { overloaded: true, retryable: true }, "10"],
])("a job whose object %s is asked for again later", async (_what, said, seconds) => {
  const edge = await startKeyedEdge({ bindings: { JOBS: jobsThatFail(said) } });
  const response = await edge.fetch(`/v1/jobs/job_${"c".repeat(32)}`);
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, seconds]);
  expect((await problemOf(response)).code).toBe("unavailable");
});

test("a job whose object fails by a bug is a bug", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const edge = await startKeyedEdge({ bindings: { JOBS: jobsThatFail({ remote: true }) } });
  const response = await edge.fetch(`/v1/jobs/job_${"c".repeat(32)}`);
  expect([response.status, (await problemOf(response)).code]).toEqual([500, "internal"]);
});

/** Objects whose every call fails with an error that has these properties, as the platform gives them to its own. */
function jobsThatFail(said: object) {
  const look = async () => {
    throw Object.assign(new Error("Durable Object reset because its code was updated."), said);
  };
  return { getByName: () => ({ look }) };
}

test("a job that was being received when its object restarted can be sent again at once", async () => {
  let isRestarting = true;
  const JOBS = {
    /** A call that meets the restart breaks its stub: each later call on it fails with the same error. */
    getByName(id: string) {
      const real = env.JOBS.getByName(id);
      let broken: Error | undefined;
      const call = (name: "begin" | "add" | "commit" | "discard") => async (argument: never) => {
        if (name === "add" && isRestarting) {
          isRestarting = false;
          broken = Object.assign(new Error("Durable Object reset because its code was updated."), {
            retryable: true,
          });
        }
        if (broken !== undefined) throw broken;
        return real[name](argument);
      };
      return { begin: call("begin"), add: call("add"), commit: call("commit"), discard: call("discard") };
    },
  };
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge({ bindings: { JOBS } });
  const send = () => postJob(edge, items(serve(1)), { headers: { "idempotency-key": "again" } });
  expect((await send()).status).toBe(503);
  expect((await send()).status).toBe(202);
});
