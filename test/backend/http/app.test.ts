import { beforeEach, expect, test, vi } from "vitest";
import { createCaptioner } from "../../../backend/captioner/captioner.ts";
import { createAdmission } from "../../../backend/http/admission.ts";
import { createApp } from "../../../backend/http/app.ts";
import { createLog, type Logger } from "../../../backend/telemetry/log.ts";
import { createMetrics } from "../../../backend/telemetry/metrics.ts";
import type { CaptionTrace } from "../../../backend/telemetry/tracing.ts";
import { decodeModelId } from "../../../shared/backend-protocol.ts";
import { MAX_IMAGE_BYTES } from "../../../shared/limits.ts";
import { FailureError, Problem } from "../../../shared/problem.ts";
import { BackendModel } from "../../../shared/schema.ts";
import { createFakeEngine, type FakeEngine, fakeTokenizer } from "../../support/fake-engine.ts";
import { jpegPicture, refusedPictures } from "../../support/pictures.ts";

const SECRET = "a-secret-of-enough-length";

let engine: FakeEngine;
let app: ReturnType<typeof createApp>;
let log: Logger;
let draining: boolean;
let traces: CaptionTrace[];
let picture: Uint8Array<ArrayBuffer>;

function start({
  maxRequests = 9,
  maxHeldBytes = 64 * 1024 * 1024,
  secret = undefined as string | undefined,
  requestTimeoutMs = 10_000,
  id = "test/fake",
} = {}) {
  engine = createFakeEngine({ id });
  log = createLog("silent");
  draining = false;
  traces = [];
  const admission = createAdmission({ maxRequests, maxHeldBytes });
  const captioner = createCaptioner({
    engine,
    tokenizer: fakeTokenizer,
    recentCaptions: 10,
    onForwardPass: (pass) => metrics.forwardPassEnded(pass),
  });
  const metrics = createMetrics({
    model: captioner.model,
    queueDepth: () => captioner.queueDepth,
    inFlight: () => admission.inFlight,
  });
  app = createApp({
    captioner,
    admission,
    metrics,
    tracing: { record: (trace) => void traces.push(trace), close: async () => {} },
    log,
    secret,
    requestTimeoutMs,
    isDraining: () => draining,
  });
}

beforeEach(async () => {
  start();
  picture ??= await jpegPicture(40);
});

const post = (body: BodyInit, path = "/", headers: Record<string, string> = {}) =>
  app.request(path, { method: "POST", body, headers });

async function problem(response: Response): Promise<Problem> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const body = Problem.parse(await response.json());
  expect(body.status).toBe(response.status);
  return body;
}

async function generatedText(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  const [first] = (await response.json()) as { generated_text: string }[];
  return first?.generated_text ?? "";
}

test("raw bytes are answered as by Hugging Face, with everything that its form has no field for in headers", async () => {
  const response = await post(picture, "/", { "x-request-id": "abc-1" });
  expect(response.headers.get("x-model-id")).toBe("test/fake");
  expect(response.headers.get("x-model-revision")).toBe("r1");
  // To the last digit: the score that is made of them has six, here and in the commands without a server.
  expect(Number(response.headers.get("x-caption-score"))).toBeCloseTo(1 / 3, 15);
  expect(Number(response.headers.get("x-picture-score"))).toBe(2 / 3);
  expect(response.headers.get("x-request-id")).toBe("abc-1");
  expect(response.headers.get("server-timing")).toMatch(
    /decode;dur=.*queue;dur=.*inference;dur=.*total;dur=/,
  );
  expect((await generatedText(response)).split(" ")).toHaveLength(3);
});

test("a model may have any name that a folder may have, although its header is ASCII", async () => {
  for (const id of ["模型/Фото", "Müller/modèle", "100%/a b", "line\nend/x"]) {
    start({ id });
    const response = await post(picture);
    expect(response.status).toBe(200);
    const header = response.headers.get("x-model-id") ?? "";
    expect(header).toMatch(/^[\x21-\x7e]+$/);
    expect(decodeModelId(header)).toBe(id);
  }
  expect(decodeModelId("100%/not encoded")).toBe("100%/not encoded");
});

test("base64 and data URLs in JSON mean the same picture, and parameters override the query", async () => {
  const base64 = Buffer.from(picture).toString("base64");
  const raw = await generatedText(await post(picture));
  for (const inputs of [base64, `data:image/jpeg;base64,${base64}`]) {
    const json = await post(JSON.stringify({ inputs }), "/", { "content-type": "application/json" });
    expect(await generatedText(json)).toBe(raw);
  }
  const short = { inputs: base64, parameters: { generate_kwargs: { max_new_tokens: 2 } } };
  const answer = await post(JSON.stringify(short), "/?max_new_tokens=1", {
    "content-type": "application/json; charset=utf-8",
  });
  expect((await generatedText(answer)).split(" ")).toHaveLength(2);
});

test("options in the query take effect", async () => {
  const answer = await generatedText(await post(picture, "/?prompt=a%20cat&max_new_tokens=1"));
  expect(answer).toMatch(/^1001 1003 \d+$/);
});

test.each([
  ["/?max_new_tokens=0", "bad-options"],
  ["/?max_new_tokens=many", "bad-options"],
  ["/?num_beams=9", "bad-options"],
  ["/?num_beams=2&num_beams=3", "bad-options"],
  ["/?temperature=1", "bad-options"],
])("POST %s is refused as %s", async (path, code) => {
  expect((await problem(await post(picture, path))).code).toBe(code);
});

test.each([
  ["not JSON", "{", "bad-request"],
  ["no inputs", "{}", "bad-request"],
  [
    "parameter that is true",
    JSON.stringify({ inputs: "AAAA", parameters: { max_new_tokens: true } }),
    "bad-options",
  ],
  ["wrong parameter", JSON.stringify({ inputs: "AAAA", parameters: { num_beams: 99 } }), "bad-options"],
  ["no picture in it", JSON.stringify({ inputs: "!!!!" }), "bad-request"],
])("JSON with %s is refused", async (_, body, code) => {
  expect((await problem(await post(body, "/", { "content-type": "application/json" }))).code).toBe(code);
});

test("every hostile picture gets its own 4xx and costs no forward pass", async () => {
  for (const { name, bytes, code } of await refusedPictures()) {
    const response = await post(bytes);
    expect((await problem(response)).code, name).toBe(code);
    expect(response.status, name).toBeGreaterThanOrEqual(400);
    expect(response.status, name).toBeLessThan(500);
  }
  expect(engine.passes).toHaveLength(0);
});

test("a body that is too large is refused by its announced length, or cut off if it announces none", async () => {
  const announced = await post("x", "/", { "content-length": String(MAX_IMAGE_BYTES + 1) });
  expect((await problem(announced)).code).toBe("image-too-large");

  let pulled = 0;
  const cancelled = Promise.withResolvers<void>();
  const endless = new ReadableStream({
    pull(controller) {
      pulled += 1024 * 1024;
      controller.enqueue(new Uint8Array(1024 * 1024));
    },
    cancel: () => cancelled.resolve(),
  });
  const request = new Request("http://localhost/", {
    method: "POST",
    body: endless,
    duplex: "half",
  } as RequestInit);
  expect((await problem(await app.request(request))).code).toBe("image-too-large");
  await cancelled.promise;
  expect(pulled).toBeLessThan(2 * MAX_IMAGE_BYTES + 5 * 1024 * 1024);
});

test("bodies held at once stay within the memory budget", async () => {
  start({ maxHeldBytes: 100 });
  const refused = await post(picture);
  expect((await problem(refused)).code).toBe("overloaded");
  expect(refused.headers.get("retry-after")).toBe("1");
});

test("no permit left: 429 with Retry-After at once, whatever the queue does, and permits come back", async () => {
  start({ maxRequests: 2 });
  engine.hold();
  const held = [post(await jpegPicture(1)), post(await jpegPicture(2))];
  await engine.started(1);
  const refused = await post(picture);
  expect((await problem(refused)).code).toBe("overloaded");
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("1");
  engine.release();
  for (const response of await Promise.all(held)) expect(response.status).toBe(200);
  expect((await post(picture)).status).toBe(200);
});

test("the caller's deadline cuts a caption off, and a passed one is refused at once", async () => {
  engine.hold();
  expect((await problem(await post(picture, "/", { "x-deadline-ms": "30" }))).code).toBe("deadline-exceeded");
  expect((await problem(await post(picture, "/", { "x-deadline-ms": "0" }))).code).toBe("deadline-exceeded");
  expect((await problem(await post(picture, "/", { "x-deadline-ms": "soon" }))).code).toBe("bad-request");
  expect((await problem(await post(picture, "/", { "x-deadline-ms": "" }))).code).toBe("bad-request");
  engine.release();
});

const streamed = (body: ReadableStream, headers: Record<string, string> = {}) =>
  app.request(
    new Request("http://localhost/", { method: "POST", body, headers, duplex: "half" } as RequestInit),
  );

test("a body that never ends is cut off, and the answer says so", async () => {
  start({ requestTimeoutMs: 30 });
  const response = await streamed(new ReadableStream({ pull: () => new Promise(() => {}) }));
  expect(response.status).toBe(408);
  expect((await problem(response)).code).toBe("upload-timeout");
});

test("a caption's clock starts after its upload", async () => {
  const slow = new ReadableStream({
    async start(controller) {
      await new Promise((resolve) => setTimeout(resolve, 2_200));
      controller.enqueue(picture);
      controller.close();
    },
  });
  expect((await streamed(slow, { "x-deadline-ms": "2000" })).status).toBe(200);
});

test("callers of different owners share neither a pass nor what is remembered", async () => {
  const sourceFor = async (owner?: string) => {
    const response = await post(picture, "/", owner === undefined ? {} : { "x-caption-owner": owner });
    return response.headers.get("x-caption-source");
  };
  expect(await sourceFor("a")).toBe("generated");
  expect(await sourceFor("a")).toBe("recent");
  expect(await sourceFor("b")).toBe("generated");
  expect(await sourceFor()).toBe("generated");
  engine.hold();
  const other = await jpegPicture(4_242);
  const sent = ["a", "a", "b"].map((owner) => post(other, "/", { "x-caption-owner": owner }));
  await engine.started(4);
  await new Promise((resolve) => setTimeout(resolve, 100));
  engine.release();
  const sources = (await Promise.all(sent)).map(({ headers }) => headers.get("x-caption-source"));
  expect(sources.toSorted()).toEqual(["generated", "generated", "joined"]);
});

test("an error quotes what a caller sent only in part", async () => {
  const response = await post(picture, `/?${"a".repeat(100_000)}=1`);
  expect((await problem(response)).detail.length).toBeLessThan(500);
});

test("while draining, new work is refused and readiness says so; liveness does not", async () => {
  draining = true;
  expect((await problem(await post(picture))).code).toBe("shutting-down");
  expect((await app.request("/readyz")).status).toBe(503);
  expect((await app.request("/healthz")).status).toBe(200);
});

test("while the engine's servers cannot be reached, readiness says so; liveness does not", async () => {
  engine.isReachable = async () => false;
  const response = await app.request("/readyz");
  expect((await problem(response)).code).toBe("unavailable");
  expect((await app.request("/healthz")).status).toBe(200);
  engine.isReachable = async () => true;
  expect((await app.request("/readyz")).status).toBe(200);
});

test("the reason of a failure is a warning in the log, and not in the answer", async () => {
  const warned = vi.spyOn(log, "warn");
  const reason = "Triton at 10.1.2.3:8001: not reachable";
  engine.failNext(new FailureError({ code: "unavailable", detail: "No server.", reason }));
  expect(JSON.stringify(await problem(await post(picture)))).not.toContain("10.1.2.3");
  await post("text");
  expect(warned).toHaveBeenCalledExactlyOnceWith(
    expect.objectContaining({ status: 503, outcome: "unavailable", reason }),
    "caption",
  );
});

test("/v1/model describes the model", async () => {
  const model = BackendModel.parse(await (await app.request("/v1/model")).json());
  expect(model).toMatchObject({ id: "test/fake", revision: "r1", image_size: 16, dtype: "fp32" });
});

test("with a secret, only health is open", async () => {
  start({ secret: SECRET });
  expect((await app.request("/healthz")).status).toBe(200);
  expect((await app.request("/readyz")).status).toBe(200);
  for (const path of ["/v1/model", "/metrics"]) {
    const refused = await app.request(path);
    expect((await problem(refused)).code).toBe("unauthorized");
    expect(refused.headers.get("www-authenticate")).toBe("Bearer");
  }
  for (const wrong of ["", "Bearer ", `Bearer ${SECRET}x`, SECRET]) {
    const warn = vi.spyOn(log, "warn");
    expect((await post(picture, "/", { authorization: wrong })).status).toBe(401);
    expect(warn).toHaveBeenCalledWith(
      expect.objectContaining({ status: 401 }),
      "the secret is not BACKEND_SECRET",
    );
    warn.mockRestore();
  }
  expect((await post(picture, "/", { authorization: `Bearer ${SECRET}` })).status).toBe(200);
});

test("a bug is a 500 that reveals nothing internal", async () => {
  engine.failNext(new Error("secret detail in /some/path"));
  const body = await problem(await post(picture));
  expect(body.code).toBe("internal");
  expect(JSON.stringify(body)).not.toContain("secret detail");
});

test("unknown routes and methods have their own answers", async () => {
  expect((await problem(await app.request("/v2"))).code).toBe("not-found");
  const wrong = await app.request("/", { method: "PUT" });
  expect((await problem(wrong)).code).toBe("method-not-allowed");
  expect(wrong.headers.get("allow")).toBe("POST");
  for (const path of ["/healthz", "/readyz", "/v1/model", "/metrics"]) {
    const posted = await app.request(path, { method: "POST" });
    expect((await problem(posted)).code).toBe("method-not-allowed");
    expect(posted.headers.get("allow")).toContain("GET");
  }
});

test.each(["/healthz", "/readyz", "/v1/model", "/metrics", "/"])(
  "caches on the way keep nothing of GET %s",
  async (path) => {
    expect((await app.request(path)).headers.get("cache-control")).toBe("no-store");
  },
);

test("metrics count outcomes, passes, batch sizes and cache hits under the model's revision", async () => {
  await post(picture);
  await post(picture);
  await post("text");
  const text = await (await app.request("/metrics")).text();
  const value = (name: string, labels = "") =>
    text
      .split("\n")
      .find((line) => line.startsWith(`${name}{${labels}`) && line.includes('model_revision="r1"'));
  expect(value("caption_requests_total", 'outcome="generated"')).toMatch(/ 1$/);
  expect(value("caption_requests_total", 'outcome="recent"')).toMatch(/ 1$/);
  expect(value("caption_requests_total", 'outcome="not-an-image"')).toMatch(/ 1$/);
  expect(value("caption_forward_passes_total")).toMatch(/ 1$/);
  expect(value("caption_batch_size_count")).toMatch(/ 1$/);
  expect(value("caption_cache_hits_total", 'kind="recent"')).toMatch(/ 1$/);
  expect(value("caption_queue_depth")).toMatch(/ 0$/);
  for (const stage of ["decode", "queue", "inference"]) {
    expect(value(`caption_${stage}_seconds_count`)).toMatch(/ 1$/);
  }
});

test("every request is traced with its caller's traceparent and how it ended", async () => {
  await post(picture, "/", { traceparent: "00-x", "x-request-id": "one" });
  await post("text");
  expect(traces).toMatchObject([
    {
      traceparent: "00-x",
      requestId: "one",
      status: 200,
      outcome: "generated",
      timings: { decodeMs: expect.any(Number) },
    },
    { traceparent: undefined, status: 415, outcome: "not-an-image", timings: undefined },
  ]);
  // On a clock that nobody sets.
  const [{ startedAtMs = 0, endedAtMs = 0, timings } = {}] = traces;
  const times = [startedAtMs, timings?.startedAtMs ?? 0, endedAtMs, performance.now()];
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});

test("the stock JavaScript client of Hugging Face works straight at the backend", async () => {
  const asked = await post(picture, "/", { "user-agent": "@huggingface/inference/4.0.0 node" });
  expect(await asked.json()).toEqual({ generated_text: expect.any(String) });
  expect(await (await post(picture)).json()).toEqual([{ generated_text: expect.any(String) }]);
});
