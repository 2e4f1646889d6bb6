import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Problem } from "../../../shared/problem.ts";
import { Caption, type GenerationOptions } from "../../../shared/schema.ts";
import { parseConfig } from "../../../worker/config.ts";
import { type FakeNetwork, fakeNetwork } from "../support/backends.ts";
import { startEdge } from "../support/edge.ts";
import { base64Of, hashOf, newPicture } from "../support/pictures.ts";

let network: FakeNetwork;
beforeEach(() => {
  network = fakeNetwork();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** All of them, as a query has them. */
const OPTIONS: Readonly<Record<keyof GenerationOptions, string>> = {
  prompt: "a photo of",
  max_new_tokens: "9",
  num_beams: "3",
};

const post = (body: RequestInit["body"], headers: Record<string, string> = {}): RequestInit => ({
  method: "POST",
  body: body ?? null,
  headers,
});
const postJson = (body: unknown): RequestInit =>
  post(JSON.stringify(body), { "content-type": "application/json" });
const problemOf = async (response: Response) => {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = Problem.parse(await response.json());
  expect(problem.status).toBe(response.status);
  return problem;
};

describe("POST /v1/captions", () => {
  test("captions raw bytes, and answers the second time without the captioner", async () => {
    const backend = network.backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    const first = await edge.fetch("/v1/captions", post(picture));
    expect(first.status).toBe(200);
    expect(first.headers.get("cache-status")).toBe("kv; fwd=miss; stored");
    expect(first.headers.get("x-content-type-options")).toBe("nosniff");
    expect(Caption.parse(await first.json())).toEqual({
      sha256: await hashOf(picture),
      caption: "a dog runs on the beach",
      alt: "A dog runs on the beach",
      score: 0.71,
      needs_review: false,
      model: { id: "tiny/blip", revision: "r1" },
      cached: false,
    });
    const second = await edge.fetch("/v1/captions", post(picture));
    expect(second.headers.get("cache-status")).toBe("memory; hit");
    expect(Caption.parse(await second.json()).cached).toBe(true);
    expect(backend.requests).toHaveLength(1);
  });

  test("sends the captioner the bytes, their sniffed type, the options, a deadline and the trace", async () => {
    const backend = network.backend("backend-a.test");
    const picture = newPicture();
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const headers = { "content-type": "text/plain", "x-request-id": "abc.1", traceparent };
    const response = await startEdge({ BACKEND_SECRET: "hush" }).fetch(
      `/v1/captions?${new URLSearchParams(OPTIONS)}`,
      post(picture, headers),
    );
    expect(response.headers.get("x-request-id")).toBe("abc.1");
    const [request] = backend.requests;
    if (request === undefined) throw new Error("the captioner was not asked");
    expect(new Uint8Array(await request.arrayBuffer())).toEqual(picture);
    expect(request.headers.get("content-type")).toBe("image/png");
    expect(request.headers.get("authorization")).toBe("Bearer hush");
    // Followed, a redirect would take picture and secret elsewhere.
    expect(request.redirect).toBe("manual");
    expect(request.headers.get("x-request-id")).toBe("abc.1");
    expect(request.headers.get("traceparent")).toBe(traceparent);
    expect(Number(request.headers.get("x-deadline-ms"))).toBeGreaterThan(1000);
    expect(Object.fromEntries(new URL(request.url).searchParams)).toEqual(OPTIONS);
  });

  test("shows Cloudflare Access its service token, and refuses to run with half of one", async () => {
    network.backend("backend-a.test");
    const token = { CF_ACCESS_CLIENT_ID: "worker.access", CF_ACCESS_CLIENT_SECRET: "hush" };
    const edge = startEdge(token);
    await edge.fetch("/readyz");
    await edge.fetch("/v1/captions", post(newPicture()));
    const requests = vi
      .mocked(fetch)
      .mock.calls.map(([input, init]) => (input instanceof Request ? input : new Request(input, init)));
    expect(requests.map(({ url }) => new URL(url).pathname)).toEqual(
      expect.arrayContaining(["/readyz", "/"]),
    );
    for (const { headers } of requests) {
      expect(headers.get("cf-access-client-id")).toBe("worker.access");
      expect(headers.get("cf-access-client-secret")).toBe("hush");
    }
    expect(() =>
      parseConfig({ BACKEND_URLS: "http://a.test", CF_ACCESS_CLIENT_ID: "worker.access" }),
    ).toThrow(/CF_ACCESS_CLIENT_SECRET/);
  });

  test("finds one picture by all its forms", async () => {
    const backend = network.backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    network.pages.set("https://media.example.com/p.png", () => new Response(picture));
    const form = new FormData();
    form.set("image", new File([picture], "p.png"));
    const answers = [
      await edge.fetch("/v1/captions", post(picture)),
      await edge.fetch("/v1/captions", post(form)),
      await edge.fetch("/v1/captions", postJson({ image: base64Of(picture) })),
      await edge.fetch("/v1/captions", postJson({ image: `data:image/png;base64,${base64Of(picture)}` })),
      await edge.fetch("/v1/captions", postJson({ url: "https://media.example.com/p.png" })),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const captions = await Promise.all(answers.map(async (answer) => Caption.parse(await answer.json())));
    expect(new Set(captions.map(({ sha256 }) => sha256))).toEqual(new Set([await hashOf(picture)]));
    expect(backend.requests).toHaveLength(1);
  });

  test("keeps captions of different options apart, and those of a stated default together", async () => {
    const backend = network.backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    await edge.fetch("/v1/captions?num_beams=1&max_new_tokens=20", post(picture));
    expect(backend.requests).toHaveLength(1);
    await edge.fetch("/v1/captions?num_beams=4", post(picture));
    await edge.fetch("/v1/captions", postJson({ image: base64Of(picture), num_beams: 4 }));
    expect(backend.requests).toHaveLength(2);
  });

  test("shapes the alt text to max_length without another caption", async () => {
    const backend = network.backend("backend-a.test");
    backend.caption = "a picture of a brown dog that runs along the beach";
    const edge = startEdge();
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    const form = new FormData();
    form.set("image", new File([picture], "p.png"));
    form.set("max_length", "20");
    const response = await edge.fetch("/v1/captions", post(form));
    expect(Caption.parse(await response.json()).alt).toBe("A brown dog");
    expect(backend.requests).toHaveLength(1);
  });

  test.each([
    ["an empty body", () => post(""), 400, "empty-body"],
    ["text", () => post("hello"), 415, "not-an-image"],
    ["SVG", () => post('<?xml version="1.0"?><svg xmlns="x"/>'), 415, "unsupported-image"],
    ["21 MiB", () => post(newPicture(21 * 1024 * 1024)), 413, "image-too-large"],
    ["JSON that is none", () => post("{", { "content-type": "application/json" }), 400, "bad-request"],
    ["JSON with neither form", () => postJson({}), 400, "bad-request"],
    [
      "JSON with both forms",
      () => postJson({ url: "https://a.example.com/", image: "AA==" }),
      400,
      "bad-request",
    ],
    ["base64 that is none", () => postJson({ image: "!!!" }), 400, "bad-request"],
    ["an option out of range", () => postJson({ image: "AA==", num_beams: 9 }), 400, "bad-options"],
    ["an option that is true", () => postJson({ image: "AA==", num_beams: true }), 400, "bad-options"],
    ["an option that is a list", () => postJson({ image: "AA==", max_length: [60] }), 400, "bad-options"],
    ["a language not spoken", () => postJson({ image: "AA==", language: "fr" }), 400, "unsupported-language"],
    ["a form without a picture", () => post(new FormData()), 400, "empty-body"],
    ["a private address", () => postJson({ url: "http://127.0.0.1/p.png" }), 403, "url-refused"],
  ])("refuses %s with its own code, before the captioner", async (_name, init, status, code) => {
    const backend = network.backend("backend-a.test");
    const problem = await problemOf(await startEdge().fetch("/v1/captions", init()));
    expect(problem).toMatchObject({ status, code });
    expect(backend.requests).toHaveLength(0);
  });

  test("names the option or the language that it refuses, and speaks every English", async () => {
    const edge = startEdge();
    network.backend("backend-a.test");
    const unknown = await problemOf(await edge.fetch("/v1/captions?colour=red", post(newPicture())));
    expect(unknown.code).toBe("bad-options");
    expect(unknown.detail).toContain("colour");
    const french = await problemOf(await edge.fetch("/v1/captions?language=fr", post(newPicture())));
    expect(french.detail).toContain('"fr"');
    expect((await edge.fetch("/v1/captions?language=en-GB", post(newPicture()))).status).toBe(200);
  });

  test("refuses a body that streams past the limit although it declares no length", async () => {
    network.backend("backend-a.test");
    const chunk = newPicture(1024 * 1024);
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        sent += 1;
        controller.enqueue(chunk);
      },
    });
    const problem = await problemOf(await startEdge().fetch("/v1/captions", post(endless)));
    expect(problem.code).toBe("image-too-large");
    expect(sent).toBeLessThan(30);
  });

  test("hashes a body that streams in as one that arrives at once", async () => {
    network.backend("backend-a.test");
    const picture = newPicture(3 * 1024 * 1024);
    const streamed = await startEdge().fetch("/v1/captions", post(new Blob([picture]).stream()));
    expect(Caption.parse(await streamed.json()).sha256).toBe(await hashOf(picture));
    const declared = await startEdge().fetch("/v1/captions", post(picture));
    expect(Caption.parse(await declared.json()).sha256).toBe(await hashOf(picture));
  });
});

describe("GET /v1/captions/{sha256}", () => {
  test("answers a captioned picture with an ETag, and with 304 to a client that has it", async () => {
    network.backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    const path = `/v1/captions/${await hashOf(picture)}`;
    expect((await problemOf(await edge.fetch(path))).code).toBe("not-captioned");
    await edge.fetch("/v1/captions", post(picture));
    const found = await edge.fetch(path);
    expect(found.status).toBe(200);
    expect(Caption.parse(await found.json())).toMatchObject({ alt: "A dog runs on the beach", cached: true });
    const etag = found.headers.get("etag") ?? "";
    const again = await edge.fetch(path, { headers: { "if-none-match": `"other", W/${etag}` } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe("");
    expect(again.headers.get("etag")).toBe(etag);
    const shorter = await edge.fetch(`${path}?max_length=20`, { headers: { "if-none-match": etag } });
    expect(shorter.status).toBe(200);
  });

  test("refuses what is not a hash", async () => {
    expect((await problemOf(await startEdge().fetch("/v1/captions/XYZ"))).code).toBe("bad-request");
  });
});

describe("routes", () => {
  test("says which methods a path has", async () => {
    const response = await startEdge().fetch("/v1/captions", { method: "PUT", body: "x" });
    expect((await problemOf(response)).code).toBe("method-not-allowed");
    expect(response.headers.get("allow")).toBe("POST");
  });

  test.each(["GET", "HEAD", "DELETE", "PUT"])(
    "does not read the batch's name as a hash: %s",
    async (method) => {
      const response = await startEdge().fetch("/v1/captions/batch", { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("POST");
    },
  );

  test("answers an unknown path as a problem", async () => {
    expect((await problemOf(await startEdge().fetch("/nothing"))).code).toBe("not-found");
  });

  test.each([
    "/nothing",
    "/v1/captions",
    `/v1/captions/${"0".repeat(64)}`,
    "/v1/jobs/job_0",
    "/healthz",
    "/readyz",
  ])("tells caches not to keep %s, which may change at any moment", async (path) => {
    const response = await startEdge({ LOG_LEVEL: "silent" }).fetch(path);
    expect(response.headers.get("cache-control")).toBe("no-store");
  });

  test("is alive without a captioner, and ready only with one", async () => {
    const backend = network.backend("backend-a.test");
    const edge = startEdge({ LOG_LEVEL: "silent" });
    const now = Date.now();
    const clock = vi.spyOn(Date, "now").mockReturnValue(now);
    expect((await edge.fetch("/readyz")).status).toBe(200);
    backend.dead = true;
    expect((await edge.fetch("/healthz")).status).toBe(200);
    const asked = vi.mocked(fetch).mock.calls.length;
    await Promise.all(Array.from({ length: 50 }, () => edge.fetch("/readyz")));
    expect(vi.mocked(fetch).mock.calls).toHaveLength(asked);
    clock.mockReturnValue(now + 1_000);
    const response = await edge.fetch("/readyz");
    expect(vi.mocked(fetch).mock.calls).toHaveLength(asked + 1);
    expect((await problemOf(response)).code).toBe("unavailable");
    expect(response.headers.get("retry-after")).toBe("5");
  });
});
