import { describe, expect, test, vi } from "vitest";
import { toProblem } from "../../../shared/problem.ts";
import { Caption } from "../../../shared/schema.ts";
import type { Bindings } from "../../../worker/env.ts";
import { createServices } from "../../../worker/services.ts";
import { startEdge, workerEnv } from "../support/edge.ts";
import { post, problemOf, useFakeNetwork } from "../support/edge-test.ts";
import { hashOf, MANY, newPicture } from "../support/pictures.ts";
import { scopeOf } from "../support/scope.ts";

const network = useFakeNetwork();

describe("several captioners", () => {
  const URLS = "http://backend-a.test,http://backend-b.test";

  test("one picture goes to one captioner, many to both", async () => {
    const [a, b] = [network().backend("backend-a.test"), network().backend("backend-b.test")];
    const picture = newPicture();
    for (let isolate = 0; isolate < 4; isolate++) {
      await startEdge({ BACKEND_URLS: URLS, CACHE_TIERS: "" }).fetch("/v1/captions", post(picture));
    }
    expect([a.requests.length, b.requests.length].sort()).toEqual([0, 4]);
    const edge = startEdge({ BACKEND_URLS: URLS });
    for (let count = 0; count < MANY; count++) await edge.fetch("/v1/captions", post(newPicture()));
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
    network().backend("backend-a.test").answer = answer;
    const healthy = network().backend("backend-b.test");
    const edge = startEdge({ BACKEND_URLS: URLS });
    for (let count = 0; count < 8; count++) {
      expect((await edge.fetch("/v1/captions", post(newPicture()))).status).toBe(200);
    }
    expect(healthy.requests).toHaveLength(8);
  });

  test.each([200, 500])(
    "an endless answer with status %i is read only as far as an answer may be long",
    async (status) => {
      const chunk = new Uint8Array(64 * 1024).fill(0x61);
      let chunks = 0;
      network().backend("backend-a.test").answer = () =>
        new Response(
          new ReadableStream({
            pull(controller) {
              chunks += 1;
              if (chunks > 500) controller.close();
              else controller.enqueue(chunk);
            },
          }),
          { status },
        );
      const response = await startEdge().fetch("/v1/captions", post(newPicture()));
      expect((await problemOf(response)).code).toBe("unavailable");
      expect(chunks).toBeLessThan(10);
    },
  );

  test("a slow one is left for the next, and then asked last for a while", async () => {
    const slow = network().backend("backend-a.test");
    slow.answer = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    network().backend("backend-b.test");
    // The while does not end here, however long the test takes.
    vi.spyOn(Date, "now").mockReturnValue(Date.now());
    const edge = startEdge({ BACKEND_URLS: URLS, ATTEMPT_TIMEOUT_MS: "1500" });
    for (let count = 0; count < 10; count++) {
      expect((await edge.fetch("/v1/captions", post(newPicture()))).status).toBe(200);
    }
    expect(slow.requests.length).toBeLessThanOrEqual(1);
  });
});

describe("a fallback", () => {
  const OWN = { BACKEND_URLS: "http://backend-a.test", BACKEND_SECRET: "s".repeat(16) };
  const variables = { ...OWN, FALLBACK_URLS: "http://hosted.test", FALLBACK_TOKEN: "hf_token" };

  function hostedEndpoint() {
    const hosted = network().backend("hosted.test");
    hosted.answer = () => Response.json([{ generated_text: "a hosted dog" }]);
    return hosted;
  }

  test("is asked for nothing while a captioner captions", async () => {
    network().backend("backend-a.test");
    const hosted = hostedEndpoint();
    const edge = startEdge(variables);
    for (let count = 0; count < 10; count++) await edge.fetch("/v1/captions", post(newPicture()));
    expect(hosted.requests).toHaveLength(0);
  });

  test.each([
    ["is dead", (): Response => Response.error()],
    ["is full", () => new Response("", { status: 429 })],
    ["does not let us in", () => new Response("", { status: 401 })],
  ])("captions when the captioner %s, with a token of its own and no other secret", async (_name, answer) => {
    network().backend("backend-a.test").answer = answer;
    const hosted = hostedEndpoint();
    const access = { CF_ACCESS_CLIENT_ID: "id", CF_ACCESS_CLIENT_SECRET: "secret" };
    const edge = startEdge({ ...variables, ...access });
    for (let count = 0; count < 3; count++) {
      const response = await edge.fetch("/v1/captions", post(newPicture()));
      expect(Caption.parse(await response.json()).caption).toBe("a hosted dog");
    }
    for (const { headers } of hosted.requests) {
      expect(headers.get("authorization")).toBe("Bearer hf_token");
      expect(headers.get("cf-access-client-secret")).toBeNull();
    }
  });

  test("that names another model takes no caption of the captioners' from the cache", async () => {
    const own = network().backend("backend-a.test");
    const fallback = network().backend("hosted.test");
    Object.assign(fallback, { id: "other/blip", revision: "r9", caption: "a cat" });
    const picture = newPicture();
    await startEdge(variables).fetch("/v1/captions", post(picture));
    own.dead = true;
    vi.spyOn(console, "error").mockImplementation(() => {});
    const edge = startEdge(variables);
    const other = Caption.parse(await (await edge.fetch("/v1/captions", post(newPicture()))).json());
    expect(other.model).toEqual({ id: "other/blip", revision: "r9" });
    const cached = Caption.parse(await (await edge.fetch("/v1/captions", post(picture))).json());
    expect(cached).toMatchObject({ cached: true, caption: "a dog runs on the beach" });
  });

  test("gets no work of jobs while captioners are only busy, and all of it while they are away", async () => {
    const own = network().backend("backend-a.test");
    hostedEndpoint();
    const { pool } = createServices({ ...workerEnv, ...variables } as Bindings);
    const scope = scopeOf("background");
    const ask = async () => {
      const bytes = newPicture();
      const [picture, sha256] = [{ bytes, type: "image/png" }, await hashOf(bytes)];
      return pool.caption({ sha256, picture, options: {}, owner: undefined, scope });
    };
    own.answer = () => new Response("", { status: 429, headers: { "retry-after": "7" } });
    expect(await ask()).toMatchObject({ ok: false, failure: { code: "overloaded", retryAfterSeconds: 7 } });
    own.dead = true;
    expect(await ask()).toMatchObject({ ok: true, value: { generated: { caption: "a hosted dog" } } });
  });
});

test("a captioner that is late with a job's picture is asked for a picture that it has not seen, but never while a caller waits", async () => {
  const own = network().backend("backend-a.test");
  const late = Response.json(toProblem({ code: "deadline-exceeded", detail: "" }), { status: 504 });
  let captionsOthers = true;
  own.answer = async (request) =>
    captionsOthers && (request.headers.get("content-type") ?? "") === "image/gif"
      ? Response.json([{ generated_text: "a wall" }])
      : late.clone();
  const { pool } = createServices({ ...workerEnv, BACKEND_URLS: "http://backend-a.test" } as Bindings);
  const ask = async (priority: "background" | "interactive") => {
    const bytes = newPicture();
    const [picture, sha256] = [{ bytes, type: "image/png" }, await hashOf(bytes)];
    return pool.caption({ sha256, picture, options: {}, owner: undefined, scope: scopeOf(priority) });
  };
  expect(await ask("background")).toMatchObject({ ok: false, failure: { code: "deadline-exceeded" } });
  const before = own.requests.length;
  expect(await ask("interactive")).toMatchObject({ ok: false, failure: { code: "unavailable" } });
  expect(own.requests).toHaveLength(before + 1);
  captionsOthers = false;
  expect(await ask("background")).toMatchObject({ ok: false, failure: { code: "unavailable" } });
});

test("with one captioner full and one misconfigured, the caller is asked to come back", async () => {
  network().backend("backend-a.test").answer = () => new Response("", { status: 429 });
  network().backend("backend-b.test").answer = () => new Response("", { status: 401 });
  const edge = startEdge({ BACKEND_URLS: "http://backend-a.test,http://backend-b.test" });
  for (let count = 0; count < 8; count++) {
    expect((await edge.fetch("/v1/captions", post(newPicture()))).status).toBe(429);
  }
});

test("a caption is one line, whatever a hosted model says", async () => {
  network().backend("backend-a.test").caption = " A dog.\r\n\r\nIt runs\u0000\ton  the beach.\n";
  const response = await startEdge().fetch("/v1/captions", post(newPicture()));
  expect(Caption.parse(await response.json()).caption).toBe("A dog. It runs on the beach.");
});

describe("no captioner", () => {
  test("cached captions are served, also by a new isolate; others get 503 and Retry-After", async () => {
    const backend = network().backend("backend-a.test");
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

  test("the log says of each one why it did not caption", async () => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    network().backend("backend-a.test").dead = true;
    network().backend("backend-b.test").answer = () => new Response("", { status: 302 });
    await startEdge({ BACKEND_URLS: "http://backend-a.test,http://backend-b.test" }).fetch(
      "/v1/captions",
      post(newPicture()),
    );
    const { warnings } = JSON.parse(String(error.mock.calls[0]));
    expect(warnings.sort()).toEqual([
      "captioner backend-a.test: broken, no connection, or it broke off",
      "captioner backend-b.test: misconfigured, status 302",
    ]);
  });

  test("nothing of a foreign error's text is passed on", async () => {
    network().backend("backend-a.test").answer = () =>
      Response.json({ error: "token hf_secret at 10.0.0.1 is out of credits" }, { status: 402 });
    const response = await startEdge().fetch("/v1/captions", post(newPicture()));
    expect(response.status).toBe(502);
    expect(await response.text()).not.toMatch(/hf_secret|10\.0|credits/);
  });

  test("one that is full passes its Retry-After on", async () => {
    network().backend("backend-a.test").answer = () =>
      new Response("", { status: 429, headers: { "retry-after": "7" } });
    const response = await startEdge().fetch("/v1/captions", post(newPicture()));
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("7");
  });

  test("one that is full and names a date, as a proxy in front of a hosted one may, passes on the seconds until then", async () => {
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    network().backend("backend-a.test").answer = () =>
      new Response("", { status: 429, headers: { "retry-after": date } });
    const response = await startEdge().fetch("/v1/captions", post(newPicture()));
    const seconds = Number(response.headers.get("retry-after"));
    expect([seconds > 3_000, seconds <= 3_600]).toEqual([true, true]);
  });
});
