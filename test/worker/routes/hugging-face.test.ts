import { env } from "cloudflare:workers";
import { InferenceClient } from "@huggingface/inference";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { apiKeyStorageKey, createApiKey } from "../../../shared/api-key.ts";
import { type FakeNetwork, fakeNetwork } from "../support/backends.ts";
import { startEdge } from "../support/edge.ts";
import { base64Of, newPicture } from "../support/pictures.ts";

let network: FakeNetwork;
beforeEach(() => {
  network = fakeNetwork();
});
afterEach(() => {
  vi.restoreAllMocks();
});

test("the stock JavaScript client works unchanged", async () => {
  network.backend("backend-a.test");
  const edge = startEdge();
  const client = new InferenceClient("", {
    fetch: (input, init) => edge.fetch(new URL(String(input)).pathname, init),
  }).endpoint("https://edge.test/models/tiny/blip");
  const data = new Blob([newPicture()], { type: "image/png" });
  expect(await client.imageToText({ data })).toEqual({ generated_text: "a dog runs on the beach" });
});

test("everybody else gets the array that Python's client and hosted endpoints have", async () => {
  const backend = network.backend("backend-a.test");
  const edge = startEdge();
  const picture = newPicture();
  const python = { "user-agent": "unknown/None; hf_hub/1.2.0; python/3.12" };
  const raw = await edge.fetch("/models/tiny/blip", { method: "POST", body: picture, headers: python });
  expect(await raw.json()).toEqual([{ generated_text: "a dog runs on the beach" }]);
  expect(raw.headers.get("cache-status")).toBe("kv; fwd=miss; stored");
  const json = await edge.fetch("/models/tiny/blip", {
    method: "POST",
    headers: { ...python, "content-type": "application/json" },
    body: JSON.stringify({ inputs: base64Of(picture), parameters: { generate_kwargs: { num_beams: 2 } } }),
  });
  expect(await json.json()).toEqual([{ generated_text: "a dog runs on the beach" }]);
  expect(backend.requests.map(({ url }) => new URL(url).search)).toEqual(["", "?num_beams=2"]);
});

test("a browser, where that client cannot name itself, gets the object", async () => {
  network.backend("backend-a.test");
  const response = await startEdge().fetch("/models/tiny/blip", {
    method: "POST",
    body: newPicture(),
    headers: { "user-agent": "Mozilla/5.0 Firefox/140.0" },
  });
  expect(await response.json()).toEqual({ generated_text: "a dog runs on the beach" });
});

test("serves the model under its own name and its aliases, and no other", async () => {
  network.backend("backend-a.test");
  const edge = startEdge({ MODEL_ALIASES: "Salesforce/blip-image-captioning-base" });
  const post = (id: string) => edge.fetch(`/models/${id}`, { method: "POST", body: newPicture() });
  expect((await post("Salesforce/blip-image-captioning-base")).status).toBe(200);
  const other = await post("openai/clip");
  expect(other.status).toBe(404);
  const problem = await other.json<Record<string, unknown>>();
  expect(problem).toMatchObject({ code: "model-not-found", detail: "The model served here is tiny/blip." });
  // What Python's client shows to its user.
  expect(problem.error).toBe(problem.detail);
});

test("a missing key, or one without the scope, is reported where Python's client looks for it", async () => {
  const edge = startEdge({ ACCESS: "keys" });
  const { key, record } = await createApiKey({
    name: "test",
    scopes: ["read"],
    daily_quota: 5,
    now: new Date(),
  });
  await env.KEYS.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  for (const [headers, code] of [
    [{}, "unauthorized"],
    [{ authorization: `Bearer ${key}` }, "forbidden"],
  ] as const) {
    const response = await edge.fetch("/models/tiny/blip", { method: "POST", body: newPicture(), headers });
    const problem = await response.json<Record<string, unknown>>();
    expect(problem).toMatchObject({ code, status: response.status, error: problem.detail });
  }
});
