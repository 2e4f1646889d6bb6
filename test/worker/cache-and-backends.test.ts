import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Problem } from "../../shared/problem.ts";
import { Caption } from "../../shared/schema.ts";
import { rendezvousOrder } from "../../worker/backends/rendezvous.ts";
import { captionKey } from "../../worker/cache/key.ts";
import { createMemoryTier } from "../../worker/cache/memory.ts";
import { type FakeNetwork, fakeNetwork } from "./support/backends.ts";
import { startEdge } from "./support/edge.ts";
import { hashOf, newPicture } from "./support/pictures.ts";

let network: FakeNetwork;
beforeEach(async () => {
  network = fakeNetwork();
  // Which model is current outlives an isolate; each test begins with a world that has not heard of one.
  await env.CAPTIONS.delete("model");
});
afterEach(() => {
  vi.restoreAllMocks();
});

const post = (picture: Uint8Array<ArrayBuffer>): RequestInit => ({ method: "POST", body: picture });
const problemOf = async (response: Response) => Problem.parse(await response.json());

function brokenKv(behaviour: () => Promise<never>): KVNamespace {
  return { get: behaviour, put: behaviour, delete: behaviour, list: behaviour, getWithMetadata: behaviour };
}

describe("tiers", () => {
  test("a new isolate of the location finds the caption in the Cache API, one elsewhere in KV", async () => {
    const backend = network.backend("backend-a.test");
    const picture = newPicture();
    await startEdge().fetch("/v1/captions", post(picture));
    const neighbour = await startEdge().fetch("/v1/captions", post(picture));
    expect(neighbour.headers.get("cache-status")).toBe("colo; hit");
    const elsewhere = startEdge({ CACHE_TIERS: "memory,kv" });
    expect((await elsewhere.fetch("/v1/captions", post(picture))).headers.get("cache-status")).toBe(
      "kv; hit",
    );
    expect((await elsewhere.fetch("/v1/captions", post(picture))).headers.get("cache-status")).toBe(
      "memory; hit",
    );
    expect(backend.requests).toHaveLength(1);
  });

  test("KV that throws, or holds rubbish, is a miss and never a failure", async () => {
    network.backend("backend-a.test");
    const throwing = brokenKv(() => Promise.reject(new Error("KV is down")));
    const picture = newPicture();
    const response = await startEdge({ CAPTIONS: throwing, CACHE_TIERS: "kv" }).fetch(
      "/v1/captions",
      post(picture),
    );
    expect(response.status).toBe(200);
    const key = await captionKey({ revision: "r1", options: {}, sha256: await hashOf(picture) });
    await env.CAPTIONS.put(key, "<html>");
    await env.CAPTIONS.put("model", "{}");
    const rubbish = await startEdge({ CACHE_TIERS: "kv" }).fetch("/v1/captions", post(picture));
    expect(rubbish.headers.get("cache-status")).toBe("kv; fwd=miss; stored");
  });

  test("KV that never answers is waited for only briefly", async () => {
    network.backend("backend-a.test");
    const stalled = brokenKv(() => new Promise(() => {}));
    const edge = startEdge({ CAPTIONS: stalled, CACHE_TIERS: "memory,kv", KV_TIMEOUT_MS: "20" });
    expect((await edge.fetchOnly("/v1/captions", post(newPicture()))).status).toBe(200);
  });

  test("an error that cannot change is remembered, one that can is not", async () => {
    const backend = network.backend("backend-a.test");
    const edge = startEdge();
    const damaged = newPicture();
    backend.answer = () =>
      Response.json(
        { type: "x", title: "x", status: 422, code: "unreadable-image", detail: "The data ends early." },
        { status: 422, headers: { "content-type": "application/problem+json" } },
      );
    for (let attempt = 0; attempt < 2; attempt++) {
      const problem = await problemOf(await edge.fetch("/v1/captions", post(damaged)));
      expect(problem).toMatchObject({ code: "unreadable-image", detail: "The data ends early." });
    }
    expect(backend.requests).toHaveLength(1);
    backend.answer = () => new Response("boom", { status: 500 });
    const picture = newPicture();
    expect((await edge.fetch("/v1/captions", post(picture))).status).toBe(503);
    backend.answer = undefined;
    expect((await edge.fetch("/v1/captions", post(picture))).status).toBe(200);
  });

  test("memory forgets the least recently used, and failures after their time", () => {
    let time = 0;
    const memory = createMemoryTier({ now: () => time, maxEntries: 2 });
    const failure = { kind: "failure", failure: { code: "not-an-image", detail: "x" } } as const;
    const caption = {
      kind: "caption",
      generated: { caption: "a", score: 1, model: { id: "m", revision: "r" } },
    } as const;
    memory.write("a", caption);
    memory.write("b", failure);
    expect(memory.read("a")).toBe(caption);
    memory.write("c", caption);
    expect(memory.read("b")).toBeUndefined();
    memory.write("b", failure);
    time = 300_000;
    expect(memory.read("b")).toBeUndefined();
    expect(memory.read("c")).toBe(caption);
  });

  test("a key fits into KV whatever the revision and the prompt", async () => {
    const key = await captionKey({
      revision: "é/".repeat(400),
      options: { prompt: "语".repeat(200), num_beams: 3 },
      sha256: "0".repeat(64),
    });
    expect(new TextEncoder().encode(key).length).toBeLessThanOrEqual(512);
    expect(key).toMatch(/^caption\/[0-9a-f]{32}\/[0-9a-f]{32}\/0{64}$/);
  });
});

describe("identical pictures in flight", () => {
  test("200 at once cost one caption", async () => {
    const backend = network.backend("backend-a.test");
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    backend.answer = async () => {
      await held;
      return Response.json([{ generated_text: "a dog" }], {
        headers: { "x-model-id": "tiny/blip", "x-model-revision": "r1", "x-caption-score": "0.5" },
      });
    };
    const edge = startEdge();
    const picture = newPicture();
    const sent = Array.from({ length: 200 }, () => edge.fetchOnly("/v1/captions", post(picture)));
    await vi.waitFor(() => expect(backend.requests).toHaveLength(1));
    release();
    const answers = await Promise.all(sent);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(backend.requests).toHaveLength(1);
    const statuses = answers.map(({ headers }) => headers.get("cache-status"));
    expect(statuses.filter((status) => status === "kv; fwd=miss; stored")).toHaveLength(1);
    expect(statuses).toContain("kv; fwd=miss; stored; collapsed");
  });
});

test("a run that never settles holds up nobody who comes after its deadline", async () => {
  const backend = network.backend("backend-a.test");
  backend.answer = () => new Promise(() => {});
  vi.spyOn(AbortSignal, "timeout").mockImplementation(() => new AbortController().signal);
  const edge = startEdge({ REQUEST_TIMEOUT_MS: "1000" });
  const picture = newPicture();
  void edge.fetchOnly("/v1/captions", post(picture));
  await vi.waitFor(() => expect(backend.requests).toHaveLength(1));
  backend.answer = undefined;
  await new Promise((resolve) => setTimeout(resolve, 1050));
  expect((await edge.fetchOnly("/v1/captions", post(picture))).status).toBe(200);
});

describe("several captioners", () => {
  const URLS = "http://backend-a.test,http://backend-b.test";

  test("one picture goes to one captioner, many to both", async () => {
    const [a, b] = [network.backend("backend-a.test"), network.backend("backend-b.test")];
    const picture = newPicture();
    for (let isolate = 0; isolate < 4; isolate++) {
      await startEdge({ BACKEND_URLS: URLS, CACHE_TIERS: "" }).fetch("/v1/captions", post(picture));
    }
    expect([a.requests.length, b.requests.length].sort()).toEqual([0, 4]);
    const edge = startEdge({ BACKEND_URLS: URLS });
    for (let count = 0; count < 20; count++) await edge.fetch("/v1/captions", post(newPicture()));
    expect(Math.min(a.requests.length, b.requests.length)).toBeGreaterThan(2);
  });

  test.each([
    [
      "refuses connections",
      (): Response => {
        throw new TypeError("connection refused");
      },
    ],
    ["answers 500", () => new Response("stack trace", { status: 500 })],
    [
      "answers HTML",
      () => new Response("<html>It works!</html>", { headers: { "content-type": "text/html" } }),
    ],
    ["answers other JSON", () => Response.json({ ok: true })],
    ["is full", () => new Response("", { status: 429 })],
    ["does not let us in", () => new Response("", { status: 401 })],
  ])("when one %s, the other captions", async (_name, answer) => {
    network.backend("backend-a.test").answer = answer;
    const healthy = network.backend("backend-b.test");
    const edge = startEdge({ BACKEND_URLS: URLS });
    for (let count = 0; count < 8; count++) {
      expect((await edge.fetch("/v1/captions", post(newPicture()))).status).toBe(200);
    }
    expect(healthy.requests).toHaveLength(8);
  });

  test("a slow one is left for the next, and then asked last for a while", async () => {
    const slow = network.backend("backend-a.test");
    slow.answer = () =>
      new Promise((resolve) => setTimeout(() => resolve(new Response("", { status: 500 })), 1500));
    network.backend("backend-b.test");
    const edge = startEdge({ BACKEND_URLS: URLS, ATTEMPT_TIMEOUT_MS: "300" });
    for (let count = 0; count < 10; count++) {
      expect((await edge.fetch("/v1/captions", post(newPicture()))).status).toBe(200);
    }
    expect(slow.requests.length).toBeLessThanOrEqual(1);
  });

  test("moves only the pictures of the captioner that went", () => {
    const nodes = ["http://a", "http://b", "http://c"];
    const keys = Array.from({ length: 3000 }, (_, index) => `key-${index}`);
    const first = (set: readonly string[], key: string) => rendezvousOrder(set, key)[0];
    const counts = nodes.map((node) => keys.filter((key) => first(nodes, key) === node).length);
    for (const count of counts) expect(count).toBeGreaterThan(850);
    for (const key of keys) {
      const before = first(nodes, key);
      const after = first(["http://a", "http://b"], key);
      if (before !== "http://c") expect(after).toBe(before);
    }
  });
});

describe("no captioner", () => {
  test("cached captions are served, also by a new isolate; others get 503 and Retry-After", async () => {
    const backend = network.backend("backend-a.test");
    const picture = newPicture();
    await startEdge().fetch("/v1/captions", post(picture));
    backend.dead = true;
    const edge = startEdge();
    const found = await edge.fetch(`/v1/captions/${await hashOf(picture)}`);
    expect(Caption.parse(await found.json()).cached).toBe(true);
    expect((await edge.fetch("/v1/captions", post(picture))).status).toBe(200);
    const response = await edge.fetch("/v1/captions", post(newPicture()));
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("5");
    expect(await problemOf(response)).toMatchObject({ code: "unavailable" });
  });

  test("nothing that a foreign error says is passed on", async () => {
    network.backend("backend-a.test").answer = () =>
      Response.json({ error: "token hf_secret at 10.0.0.1 is out of credits" }, { status: 402 });
    const response = await startEdge().fetch("/v1/captions", post(newPicture()));
    expect(response.status).toBe(502);
    expect(await response.text()).not.toMatch(/hf_secret|10\.0|credits/);
  });

  test("one that is full passes its Retry-After on", async () => {
    network.backend("backend-a.test").answer = () =>
      new Response("", { status: 429, headers: { "retry-after": "7" } });
    const response = await startEdge().fetch("/v1/captions", post(newPicture()));
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("7");
  });
});

describe("model revisions", () => {
  test("new weights are noticed in an answer, and old captions are not served from then on", async () => {
    const backend = network.backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    backend.revision = "r2";
    backend.caption = "a cat";
    await edge.fetch("/v1/captions", post(newPicture()));
    const answer = Caption.parse(await (await edge.fetch("/v1/captions", post(picture))).json());
    expect(answer).toMatchObject({ caption: "a cat", cached: false, model: { revision: "r2" } });
    const elsewhere = await startEdge().fetch(`/v1/captions/${await hashOf(picture)}`);
    expect(Caption.parse(await elsewhere.json()).caption).toBe("a cat");
  });

  test("an isolate that has not asked for half a minute asks before it answers", async () => {
    const backend = network.backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    backend.revision = "r2";
    const now = Date.now();
    vi.spyOn(Date, "now").mockImplementation(() => now + 31_000);
    const answer = await edge.fetch("/v1/captions", post(picture));
    expect(Caption.parse(await answer.json())).toMatchObject({ cached: false, model: { revision: "r2" } });
  });

  test("a hosted endpoint that names no model is cached only under the model it was configured with", async () => {
    const hosted = network.backend("backend-a.test");
    hosted.answer = () => Response.json({ generated_text: "a dog" });
    vi.mocked(globalThis.fetch).mockImplementation(async (input, init) => {
      const request = new Request(input as Request, init as RequestInit);
      hosted.requests.push(request);
      return request.method === "POST"
        ? Response.json([{ generated_text: "a dog" }])
        : new Response("", { status: 404 });
    });
    const unnamed = await startEdge().fetch("/v1/captions", post(newPicture()));
    expect(unnamed.headers.get("cache-status")).toBe("kv; fwd=miss");
    expect(Caption.parse(await unnamed.json())).toMatchObject({ score: 0, needs_review: true });
    const edge = startEdge({ HOSTED_MODEL: "org/blip@2026" });
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    const again = await edge.fetch("/v1/captions", post(picture));
    expect(again.headers.get("cache-status")).toBe("memory; hit");
    expect(Caption.parse(await again.json()).model).toEqual({ id: "org/blip", revision: "2026" });
  });
});
