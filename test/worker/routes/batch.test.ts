import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Problem } from "../../../shared/problem.ts";
import { BatchLine } from "../../../shared/schema.ts";
import { type FakeNetwork, fakeNetwork } from "../support/backends.ts";
import { type Edge, startEdge } from "../support/edge.ts";
import { textOf } from "../support/edge-test.ts";
import { base64Of, hashOf, newPicture } from "../support/pictures.ts";

let network: FakeNetwork;
beforeEach(() => {
  network = fakeNetwork();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const post = (edge: Edge, body: unknown, query = "") =>
  edge.fetch(`/v1/captions/batch${query}`, { method: "POST", body: JSON.stringify(body) });

async function linesOf(response: Response): Promise<BatchLine[]> {
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/x-ndjson");
  // Or nginx keeps the lines until it has a buffer full of them.
  expect(response.headers.get("x-accel-buffering")).toBe("no");
  const text = await textOf(response);
  expect(text.endsWith("\n")).toBe(true);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => BatchLine.parse(JSON.parse(line)))
    .sort((a, b) => a.index - b.index);
}

test("answers a line for each item, whatever happens to the others, with its metadata", async () => {
  network.backend("backend-a.test");
  const edge = startEdge();
  const [known, fresh, linked] = [newPicture(), newPicture(), newPicture()];
  await edge.fetch("/v1/captions", { method: "POST", body: known });
  network.pages.set("https://a.example.com/p", () => new Response(linked));
  const lines = await linesOf(
    await post(edge, {
      items: [
        { sha256: await hashOf(known), metadata: { post: 7 } },
        { image: base64Of(fresh), metadata: "second" },
        { url: "https://a.example.com/p" },
        { sha256: "0".repeat(64), metadata: null },
        { image: "AAAA", metadata: ["bad"] },
        { url: "http://10.0.0.1/" },
        { metadata: "neither" },
        "not an object",
      ],
    }),
  );
  expect(lines.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(lines.map((line) => (line.status === "error" ? line.problem.code : line.status))).toEqual([
    "cached",
    "generated",
    "generated",
    "not-captioned",
    "not-an-image",
    "url-refused",
    "bad-request",
    "bad-request",
  ]);
  expect(lines.map(({ metadata }) => metadata)).toEqual([
    { post: 7 },
    "second",
    undefined,
    null,
    ["bad"],
    undefined,
    "neither",
    undefined,
  ]);
});

test("a field of an item that is null counts as not given, as in every other request", async () => {
  network.backend("backend-a.test");
  const edge = startEdge();
  const known = newPicture();
  await edge.fetch("/v1/captions", { method: "POST", body: known });
  const lines = await linesOf(
    await post(edge, {
      items: [
        { sha256: await hashOf(known), url: null, image: null, metadata: null },
        { sha256: null, url: null, image: base64Of(newPicture()), metadata: { a: null } },
        { sha256: null, url: null, image: null },
      ],
    }),
  );
  expect(lines.map(({ status, metadata }) => [status, metadata])).toEqual([
    ["cached", null],
    ["generated", { a: null }],
    ["error", undefined],
  ]);
});

test("sends a line as soon as its item is done, and works on four items at a time", async () => {
  const backend = network.backend("backend-a.test");
  const releases: (() => void)[] = [];
  backend.answer = async () => {
    await new Promise<void>((resolve) => releases.push(resolve));
    return Response.json([{ generated_text: "a dog" }], {
      headers: { "x-model-id": "tiny/blip", "x-model-revision": "r1" },
    });
  };
  const items = Array.from({ length: 10 }, () => ({ image: base64Of(newPicture()) }));
  const response = await post(startEdge(), { items });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  await vi.waitFor(() => expect(releases).toHaveLength(4), 10_000);
  releases.shift()?.();
  expect((await reader?.read())?.value).toContain('"status":"generated"');
  await vi.waitFor(() => expect(releases).toHaveLength(4), 10_000);
  expect(backend.requests).toHaveLength(5);
  await reader?.cancel();
  for (const release of releases) release();
});

test("finds a hundred known pictures with one read of KV", async () => {
  network.backend("backend-a.test");
  const hashes: string[] = [];
  const first = startEdge();
  for (let count = 0; count < 20; count++) {
    const picture = newPicture();
    await first.fetch("/v1/captions", { method: "POST", body: picture });
    hashes.push(await hashOf(picture));
  }
  const get = vi.spyOn(env.CAPTIONS, "get");
  const fresh = startEdge({ CACHE_TIERS: "memory,kv" });
  const items = hashes.map((sha256) => ({ sha256, url: null }));
  const lines = await linesOf(await post(fresh, { items }));
  expect(lines.map(({ status }) => status)).toEqual(hashes.map(() => "cached"));
  expect(get.mock.calls.filter(([key]) => key !== ("model" as never))).toHaveLength(1);
});

test("takes options for all items, and identical items share one caption", async () => {
  const backend = network.backend("backend-a.test");
  const image = base64Of(newPicture());
  const items = [{ image }, { image }, { image }];
  const lines = await linesOf(await post(startEdge(), { items, num_beams: 2 }, "?max_length=20"));
  expect(lines).toHaveLength(3);
  expect(backend.requests).toHaveLength(1);
  expect(backend.requests[0]?.url).toContain("num_beams=2");
});

test("an item with deeply nested metadata fails alone, and its line says so", async () => {
  network.backend("backend-a.test");
  const image = base64Of(newPicture());
  const deep = (levels: number) => `${"[".repeat(levels)}1${"]".repeat(levels)}`;
  const items = [1, 64, 65, 200_000, 2, 200_000, 3, 1].map(
    (levels) => `{"image":"${image}","metadata":${deep(levels)}}`,
  );
  const body = `{"items":[${items.join(",")}]}`;
  const response = await startEdge().fetch("/v1/captions/batch", { method: "POST", body });
  const lines = await linesOf(response);
  expect(lines.map((line) => (line.status === "error" ? line.problem.code : "caption"))).toEqual([
    "caption",
    "caption",
    "bad-request",
    "bad-request",
    "caption",
    "bad-request",
    "caption",
    "caption",
  ]);
  expect(lines[4]?.metadata).toEqual([[1]]);
});

test("an item whose metadata has a number that would come back as another one fails alone", async () => {
  network.backend("backend-a.test");
  const image = base64Of(newPicture());
  const numbers = [
    "9007199254740991",
    "-1.25e-7",
    "9007199254740993",
    '{"id":[-12345678901234567890]}',
    "1e999",
  ];
  const items = numbers.map((number) => `{"image":"${image}","metadata":${number}}`);
  const body = `{"items":[${items.join(",")}]}`;
  const lines = await linesOf(await startEdge().fetch("/v1/captions/batch", { method: "POST", body }));
  expect(lines.map(({ metadata }) => metadata)).toEqual([
    9007199254740991,
    -1.25e-7,
    undefined,
    undefined,
    undefined,
  ]);
  for (const line of lines.slice(2)) {
    expect(line).toMatchObject({ problem: { detail: expect.stringMatching(/^metadata: .* as text$/) } });
  }
});

test("an item may take its time: the clock starts anew for each", async () => {
  const backend = network.backend("backend-a.test");
  backend.answer = async () => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return Response.json([{ generated_text: "a dog" }], {
      headers: { "x-model-id": "tiny/blip", "x-model-revision": "r1" },
    });
  };
  // Four at a time: all of them take longer than one may.
  const items = Array.from({ length: 48 }, () => ({ image: base64Of(newPicture()) }));
  const lines = await linesOf(await post(startEdge({ REQUEST_TIMEOUT_MS: "2000" }), { items }));
  expect(lines.map(({ status }) => status)).toEqual(items.map(() => "generated"));
});

test("the line of an item that failed for now says when to ask again, and no other line does", async () => {
  network.backend("backend-a.test").answer = () =>
    new Response("", { status: 429, headers: { "retry-after": "7" } });
  const lines = await linesOf(
    await post(startEdge(), { items: [{ image: base64Of(newPicture()) }, { image: "AAAA" }] }),
  );
  expect(lines[0]).toMatchObject({ problem: { code: "overloaded" }, retry_after: 7 });
  expect(lines[1]).toMatchObject({ problem: { code: "not-an-image" } });
  expect(lines[1]).not.toHaveProperty("retry_after");
});

test.each([
  ["no items", { items: [] }, "bad-request"],
  ["101 items", { items: Array.from({ length: 101 }, () => ({ sha256: "0".repeat(64) })) }, "bad-request"],
  ["a bad option", { items: [{}], num_beams: 0 }, "bad-options"],
  ["a language not spoken", { items: [{}], language: "de" }, "unsupported-language"],
])("refuses %s as a whole", async (_name, body, code) => {
  const response = await post(startEdge(), body);
  expect(response.status).toBe(400);
  expect(Problem.parse(await response.json()).code).toBe(code);
});
