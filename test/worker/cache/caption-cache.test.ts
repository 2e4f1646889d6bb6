import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { captionKey } from "../../../worker/cache/key.ts";
import { startEdge } from "../support/edge.ts";
import { post, problemOf, useFakeNetwork } from "../support/edge-test.ts";
import { hashOf, newPicture } from "../support/pictures.ts";

const network = useFakeNetwork();

function brokenKv(behaviour: () => Promise<never>): KVNamespace {
  return { get: behaviour, put: behaviour, delete: behaviour, list: behaviour, getWithMetadata: behaviour };
}

describe("tiers", () => {
  test("a new isolate of the location finds the caption in the Cache API, one elsewhere in KV", async () => {
    const backend = network().backend("backend-a.test");
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

  test.each([
    ["memory,colo,kv", "kv; fwd=miss; stored"],
    ["memory,colo", "colo; fwd=miss; stored"],
    ["memory", "memory; fwd=miss; stored"],
    ["", "worker; fwd=bypass"],
  ])("the farthest of the tiers %j is named as the one that missed", async (CACHE_TIERS, status) => {
    network().backend("backend-a.test");
    const edge = startEdge({ CACHE_TIERS });
    for (const path of ["/v1/captions", "/models/tiny/blip"]) {
      const response = await edge.fetch(path, post(newPicture()));
      expect(response.headers.get("cache-status")).toBe(status);
    }
  });

  test("KV that throws, or holds rubbish, is a miss and never a failure", async () => {
    network().backend("backend-a.test");
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
    network().backend("backend-a.test");
    const stalled = brokenKv(() => new Promise(() => {}));
    const edge = startEdge({ CAPTIONS: stalled, CACHE_TIERS: "memory,kv", KV_TIMEOUT_MS: "20" });
    expect((await edge.fetchOnly("/v1/captions", post(newPicture()))).status).toBe(200);
  });

  test("a write or delete that takes longer than the limit of a read is not cut off", async () => {
    network().backend("backend-a.test");
    const late = <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
      (async (...args: A) => {
        await scheduler.wait(200);
        return work(...args);
      }) as never;
    const kv = env.CAPTIONS;
    const far = {
      get: kv.get.bind(kv),
      put: late(kv.put.bind(kv)),
      list: late(kv.list.bind(kv)),
      delete: late(kv.delete.bind(kv)),
    };
    const edge = startEdge({ CAPTIONS: far, CACHE_TIERS: "kv", KV_TIMEOUT_MS: "100" });
    const picture = newPicture();
    const key = await captionKey({ revision: "r1", options: {}, sha256: await hashOf(picture) });
    await edge.fetch("/v1/captions", post(picture));
    expect(await kv.get(key)).not.toBeNull();
    const path = `/v1/captions/${await hashOf(picture)}`;
    expect((await edge.fetch(path, { method: "DELETE" })).status).toBe(204);
    expect(await kv.get(key)).toBeNull();
  });

  test("an error that cannot change is remembered, one that can is not", async () => {
    const backend = network().backend("backend-a.test");
    const edge = startEdge({ LOG_LEVEL: "silent" });
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
});
