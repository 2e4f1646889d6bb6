/** Who shares cached captions with whom, and how one is forgotten. */

import { env } from "cloudflare:workers";
import { describe, expect, test, vi } from "vitest";
import { createCaptionClient } from "../../../client/index.ts";
import { type ApiKeyScope, apiKeyStorageKey, createApiKey } from "../../../shared/api-key.ts";
import { type Edge, startEdge } from "../support/edge.ts";
import { post, problemOf, textOf, useFakeNetwork } from "../support/edge-test.ts";
import { hashOf, newPicture } from "../support/pictures.ts";

const network = useFakeNetwork();

async function issueKey(scopes: ApiKeyScope[] = ["read", "caption", "delete"]) {
  const { key, record } = await createApiKey({ name: "t", scopes, daily_quota: 100, now: new Date() });
  await env.KEYS.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  return { authorization: `Bearer ${key}` };
}

const APART = { ACCESS: "keys", CACHE_SCOPE: "key" };

describe("CACHE_SCOPE=key", () => {
  test.each(["memory,colo,kv", "memory", "colo", "kv"])(
    "tenants share nothing in %s",
    async (CACHE_TIERS) => {
      const backend = network().backend("backend-a.test");
      const [one, other] = [await issueKey(), await issueKey()];
      const edge = startEdge({ ...APART, CACHE_TIERS });
      const picture = newPicture();
      const path = `/v1/captions/${await hashOf(picture)}`;
      await edge.fetch("/v1/captions", { ...post(picture), headers: one });
      expect((await edge.fetch(path, { headers: one })).status).toBe(200);
      expect((await edge.fetch(path, { headers: other })).status).toBe(404);
      const again = await edge.fetch("/v1/captions", { ...post(picture), headers: other });
      expect(await again.json()).toMatchObject({ cached: false });
      expect(backend.requests).toHaveLength(2);
      const owners = backend.requests.map(({ headers }) => headers.get("x-caption-owner"));
      expect(owners[0]).toMatch(/^[0-9a-f]{16}$/);
      expect(owners[1]).not.toBe(owners[0]);
    },
  );

  test("they do not join each other's pictures in flight either", async () => {
    const backend = network().backend("backend-a.test");
    const [one, other] = [await issueKey(), await issueKey()];
    const edge = startEdge(APART);
    const picture = newPicture();
    await Promise.all(
      [one, other, one].map((headers) => edge.fetch("/v1/captions", { ...post(picture), headers })),
    );
    expect(backend.requests).toHaveLength(2);
  });

  test("needs keys", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect((await startEdge({ CACHE_SCOPE: "key" }).fetch("/healthz")).status).toBe(500);
  });
});

describe("DELETE /v1/captions/{sha256}", () => {
  const KEYED = { ACCESS: "keys" };
  const statusOf = async (edge: Edge, path: string, headers: Record<string, string>) =>
    (await edge.fetch(path, { headers })).status;

  test("takes a picture's captions out of every tier, whatever their options", async () => {
    network().backend("backend-a.test");
    const headers = await issueKey();
    const edge = startEdge(KEYED);
    const [picture, kept] = [newPicture(), newPicture()];
    const path = `/v1/captions/${await hashOf(picture)}`;
    const send = (bytes: Uint8Array<ArrayBuffer>, query = "") =>
      edge.fetch(`/v1/captions${query}`, { ...post(bytes), headers });
    await send(picture);
    await send(picture, "?num_beams=3");
    await send(kept);
    expect((await edge.fetch(path, { method: "DELETE", headers })).status).toBe(204);
    for (const CACHE_TIERS of ["memory,colo,kv", "colo", "kv"]) {
      const elsewhere = startEdge({ ...KEYED, CACHE_TIERS });
      expect(await statusOf(elsewhere, path, headers)).toBe(404);
      expect(await statusOf(elsewhere, `${path}?num_beams=3`, headers)).toBe(404);
      expect(await statusOf(elsewhere, `/v1/captions/${await hashOf(kept)}`, headers)).toBe(200);
    }
    expect(await statusOf(edge, path, headers)).toBe(404);
    expect(await statusOf(edge, `${path}?num_beams=3`, headers)).toBe(404);
    expect((await edge.fetch(path, { method: "DELETE", headers })).status).toBe(204);
  });

  test("another isolate forgets by itself, within the time of memory", async () => {
    network().backend("backend-a.test");
    const headers = await issueKey();
    const [edge, other] = [startEdge(KEYED), startEdge(KEYED)];
    const picture = newPicture();
    const path = `/v1/captions/${await hashOf(picture)}`;
    await edge.fetch("/v1/captions", { ...post(picture), headers });
    expect(await statusOf(other, path, headers)).toBe(200);
    await edge.fetch(path, { method: "DELETE", headers });
    expect(await statusOf(other, path, headers)).toBe(200);
    const later = Date.now() + 300_000;
    vi.spyOn(Date, "now").mockImplementation(() => later);
    expect(await statusOf(other, path, headers)).toBe(404);
  });

  test("needs a scope of its own, and if tenants share nothing, deletes only the key's own captions", async () => {
    network().backend("backend-a.test");
    const [one, other, reader] = [await issueKey(), await issueKey(), await issueKey(["read", "caption"])];
    const edge = startEdge(APART);
    const picture = newPicture();
    const path = `/v1/captions/${await hashOf(picture)}`;
    await edge.fetch("/v1/captions", { ...post(picture), headers: one });
    expect((await edge.fetch(path, { method: "DELETE", headers: reader })).status).toBe(403);
    expect((await edge.fetch(path, { method: "DELETE", headers: other })).status).toBe(204);
    expect(await statusOf(edge, path, one)).toBe(200);
  });

  test("does not report success if KV cannot be reached", async () => {
    network().backend("backend-a.test");
    const down = () => Promise.reject(new Error("KV is down"));
    vi.spyOn(console, "error").mockImplementation(() => {});
    const edge = startEdge({ CAPTIONS: { get: down, put: down, list: down, delete: down } });
    const response = await edge.fetch(`/v1/captions/${"0".repeat(64)}`, { method: "DELETE" });
    expect(response.status).toBe(503);
    expect((await problemOf(response)).code).toBe("unavailable");
  });

  test("does not report success if KV lists a caption but does not delete it", async () => {
    network().backend("backend-a.test");
    const kv = env.CAPTIONS;
    const CAPTIONS = {
      get: kv.get.bind(kv),
      put: kv.put.bind(kv),
      list: kv.list.bind(kv),
      delete: () => Promise.reject(new Error("KV is down")),
    };
    const edge = startEdge({ CAPTIONS, LOG_LEVEL: "silent" });
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    const response = await edge.fetch(`/v1/captions/${await hashOf(picture)}`, { method: "DELETE" });
    expect(response.status).toBe(503);
  });

  test("is the client's forget()", async () => {
    network().backend("backend-a.test");
    const edge = startEdge();
    const send: typeof fetch = (input, init) =>
      edge.fetch(new URL(String(input)).pathname, init as RequestInit);
    const client = createCaptionClient({ baseUrl: "https://edge.test", fetch: send, retries: 0 });
    const { sha256 } = await client.caption(newPicture());
    expect(await client.find(sha256)).toBeDefined();
    await client.forget(sha256);
    expect(await client.find(sha256)).toBeUndefined();
    await expect(client.forget("abc")).rejects.toMatchObject({ problem: { code: "bad-request" } });
  });
});

test("what a caller sent comes back cut", async () => {
  network().backend("backend-a.test");
  const long = "a".repeat(1_000_000);
  const response = await startEdge().fetch(`/v1/captions?${long}=1`, post(newPicture()));
  const text = await textOf(response);
  expect(response.status).toBe(400);
  expect(text.length).toBeLessThan(700);
});
