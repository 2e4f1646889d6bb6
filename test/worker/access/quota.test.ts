/** What the daily quota is spent on: captions that were generated, once each. */

import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import { apiKeyStorageKey, createApiKey } from "../../../shared/api-key.ts";
import { BatchLine } from "../../../shared/schema.ts";
import { startEdge } from "../support/edge.ts";
import { post, problemOf, textOf, useFakeNetwork } from "../support/edge-test.ts";
import { base64Of, newPicture } from "../support/pictures.ts";

const network = useFakeNetwork();
const KEYED = { ACCESS: "keys" };

async function issueKey(daily_quota: number) {
  const { key, record } = await createApiKey({
    name: "test",
    scopes: ["read", "caption", "batch"],
    daily_quota,
    now: new Date(),
  });
  await env.KEYS.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  const left = async () => {
    const day = new Date().toISOString().slice(0, 10);
    return (await env.QUOTA.getByName(record.id).look(day, daily_quota)).remaining;
  };
  return { headers: { authorization: `Bearer ${key}` }, left };
}

const remaining = (response: Response) => /r=(\d+)/.exec(response.headers.get("ratelimit") ?? "")?.[1];

test("five identical pictures at once cost one caption, and need one only", async () => {
  const backend = network().backend("backend-a.test");
  const { headers, left } = await issueKey(1);
  const edge = startEdge(KEYED);
  const picture = newPicture();
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => edge.fetch("/v1/captions", { ...post(picture), headers })),
  );
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  expect(await left()).toBe(0);
  expect(backend.requests).toHaveLength(1);
});

test("a caller who joined another without quota asks by itself", async () => {
  network().backend("backend-a.test");
  const [poor, rich] = [await issueKey(1), await issueKey(5)];
  const edge = startEdge(KEYED);
  await edge.fetch("/v1/captions", { ...post(newPicture()), headers: poor.headers });
  const picture = newPicture();
  const answers = await Promise.all(
    [poor, rich, rich].map(({ headers }) => edge.fetch("/v1/captions", { ...post(picture), headers })),
  );
  expect(answers.map(({ status }) => status)).toEqual([429, 200, 200]);
  expect(await rich.left()).toBe(4);
});

const refusal = (code: string, status: number) => () =>
  Response.json({ type: "x", title: "x", status, code, detail: "x" }, { status });

test.each([
  ["a dead captioner", () => Promise.reject(new TypeError("connection refused")), 503],
  ["a damaged picture", refusal("unreadable-image", 422), 422],
  ["a picture that takes too long", refusal("decode-timeout", 422), 422],
  ["a full captioner", refusal("overloaded", 429), 429],
  [
    "a captioner that does not answer in time",
    ({ signal }: Request) =>
      new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    503,
  ],
])("%s gives the caption back", async (_what, answer, status) => {
  network().backend("backend-a.test").answer = answer;
  vi.spyOn(console, "error").mockImplementation(() => {});
  const { headers, left } = await issueKey(3);
  const edge = startEdge({ ...KEYED, REQUEST_TIMEOUT_MS: "2000" });
  const response = await edge.fetch("/v1/captions", { ...post(newPicture()), headers });
  expect(response.status).toBe(status);
  expect(remaining(response)).toBe("3");
  expect(await left()).toBe(3);
});

test("what the captioner remembered or shared costs nothing", async () => {
  network().backend("backend-a.test").answer = () =>
    Response.json([{ generated_text: "a dog" }], {
      headers: { "x-model-id": "tiny/blip", "x-model-revision": "r1", "x-caption-source": "recent" },
    });
  const { headers, left } = await issueKey(3);
  expect((await startEdge(KEYED).fetch("/v1/captions", { ...post(newPicture()), headers })).status).toBe(200);
  expect(await left()).toBe(3);
});

test("a slow upload is told so, in its own words, and costs nothing; the caption's clock starts after it", async () => {
  const backend = network().backend("backend-a.test");
  const { headers, left } = await issueKey(3);
  const picture = newPicture(4096);
  const slowly = (pauseMs: number) =>
    new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(picture.subarray(0, 1024));
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
        controller.enqueue(picture.subarray(1024));
        controller.close();
      },
    });
  const hasty = startEdge({ ...KEYED, UPLOAD_TIMEOUT_MS: "100" });
  const late = await hasty.fetchOnly("/v1/captions", { method: "POST", body: slowly(5_000), headers });
  expect(late.status).toBe(408);
  expect((await problemOf(late)).code).toBe("upload-timeout");
  expect(await left()).toBe(3);
  const edge = startEdge({ ...KEYED, REQUEST_TIMEOUT_MS: "1500" });
  const slow = await edge.fetch("/v1/captions", { method: "POST", body: slowly(2_000), headers });
  expect(slow.status).toBe(200);
  // Begun with the upload, the clock would have run out.
  expect(Number(backend.requests[0]?.headers.get("x-deadline-ms"))).toBeGreaterThan(0);
});

test("the day never goes back, and a refund counts for the day on which it was spent", async () => {
  const counter = env.QUOTA.getByName(crypto.randomUUID());
  await counter.spend("2026-11-25", 2);
  await counter.spend("2026-11-26", 2);
  expect(await counter.spend("2026-11-25", 2)).toMatchObject({
    granted: true,
    remaining: 0,
    day: "2026-11-26",
  });
  expect(await counter.spend("2026-11-26", 2)).toMatchObject({ granted: false, remaining: 0 });
  await counter.giveBack("2026-11-25");
  expect(await counter.look("2026-11-26", 2)).toMatchObject({ granted: false });
  await counter.giveBack("2026-11-26");
  expect(await counter.look("2026-11-26", 2)).toMatchObject({ granted: true, remaining: 1 });
});

test("a day that is more than one ahead came from a wrong clock, and uses up no other day", async () => {
  const counter = env.QUOTA.getByName(crypto.randomUUID());
  await counter.spend("2028-02-29", 1);
  expect(await counter.look("2028-02-28", 1)).toMatchObject({ granted: false, day: "2028-02-29" });
  expect(await counter.spend("2028-02-27", 1)).toMatchObject({ granted: true, day: "2028-02-27" });
});

const linesOf = async (response: Response) =>
  (await textOf(response))
    .trimEnd()
    .split("\n")
    .map((line) => BatchLine.parse(JSON.parse(line)));

const codesOf = (lines: BatchLine[]) =>
  lines.map((line) => (line.status === "error" ? line.problem.code : line.status));

test("with an exhausted key no address is fetched, alone or in a batch", async () => {
  network().backend("backend-a.test");
  const { headers } = await issueKey(1);
  const edge = startEdge(KEYED);
  await edge.fetch("/v1/captions", { ...post(newPicture()), headers });
  let fetched = 0;
  network().pages.set("https://a.example.com/p", () => {
    fetched += 1;
    return new Response(newPicture());
  });
  const url = "https://a.example.com/p";
  const alone = await edge.fetch("/v1/captions", {
    method: "POST",
    body: JSON.stringify({ url }),
    headers: { ...headers, "content-type": "application/json" },
  });
  expect((await problemOf(alone)).code).toBe("quota-exceeded");
  const body = JSON.stringify({ items: Array.from({ length: 100 }, () => ({ url })) });
  const lines = await linesOf(await edge.fetch("/v1/captions/batch", { method: "POST", body, headers }));
  expect(new Set(codesOf(lines))).toEqual(new Set(["quota-exceeded"]));
  expect(lines).toHaveLength(100);
  expect(fetched).toBe(0);
});

test("each item of a batch counts against the rate", async () => {
  const backend = network().backend("backend-a.test");
  const { headers } = await issueKey(100);
  let count = 0;
  const RATE_LIMIT = { limit: async () => ({ success: ++count <= 4 }) };
  const items = Array.from({ length: 10 }, () => ({ image: base64Of(newPicture()) }));
  const response = await startEdge({ ...KEYED, RATE_LIMIT }).fetch("/v1/captions/batch", {
    method: "POST",
    body: JSON.stringify({ items }),
    headers,
  });
  const codes = codesOf(await linesOf(response));
  expect(codes.filter((code) => code === "generated")).toHaveLength(4);
  expect(codes.filter((code) => code === "rate-limited")).toHaveLength(6);
  expect(backend.requests).toHaveLength(4);
});
