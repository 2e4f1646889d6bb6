import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as z from "zod/mini";
import { apiKeyStorageKey, createApiKey } from "../../../shared/api-key.ts";
import { Job } from "../../../shared/jobs.ts";
import { PROBLEM_CONTENT_TYPE, Problem } from "../../../shared/problem.ts";
import { BatchLine, Caption, ImageToTextOutput } from "../../../shared/schema.ts";
import { createApp } from "../../../worker/app.ts";
import { openApiDocument } from "../../../worker/docs/openapi.ts";
import { createServices } from "../../../worker/services.ts";
import { type FakeNetwork, fakeNetwork } from "../support/backends.ts";
import { startEdge, workerEnv } from "../support/edge.ts";
import { textOf } from "../support/edge-test.ts";
import { hashOf, newPicture } from "../support/pictures.ts";

let network: FakeNetwork;
beforeEach(() => {
  network = fakeNetwork();
  network.backend("backend-a.test");
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
});

const SHA = "0".repeat(64);
const problem = (code: string, status: number) => () =>
  Response.json(
    { type: "x", title: "x", status, code, detail: "x" },
    { status, headers: { "content-type": PROBLEM_CONTENT_TYPE } },
  );
const readOnlyKey = async () => {
  const options = { name: "t", scopes: ["read" as const], daily_quota: 1, now: new Date() };
  const { key, record } = await createApiKey(options);
  await workerEnv.KEYS.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  return { authorization: `Bearer ${key}` };
};
const batchKey = async () => {
  const { key, record } = await createApiKey({
    name: "t",
    scopes: ["batch"],
    daily_quota: 1,
    now: new Date(),
  });
  await workerEnv.KEYS.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  return { authorization: `Bearer ${key}` };
};
const allKey = async () => {
  const scopes = ["read", "caption", "batch", "jobs", "delete"] as const;
  const { key, record } = await createApiKey({
    name: "t",
    scopes: [...scopes],
    daily_quota: 1,
    now: new Date(),
  });
  await workerEnv.KEYS.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  return { authorization: `Bearer ${key}` };
};

const KEYED = { ACCESS: "keys" };
const LIMITED = { ...KEYED, RATE_LIMIT: { limit: async () => ({ success: false }) } };
const KEYLESS = { ...KEYED, KEYS: { get: () => Promise.reject(new Error("down")) } };
const BROKEN = { BACKEND_URLS: "ftp://x" };
const DELETE = { method: "DELETE" };
const POST = (body: NonNullable<RequestInit["body"]> = newPicture()): RequestInit => ({
  method: "POST",
  body,
});
/** A body that never ends; `onRead` is told when somebody reads it. */
const SLOW = (onRead = () => {}): RequestInit => ({
  method: "POST",
  body: new ReadableStream(
    {
      pull() {
        onRead();
        return new Promise(() => {});
      },
    },
    { highWaterMark: 0 },
  ),
});
const HASTY = { UPLOAD_TIMEOUT_MS: "50" };
const TOO_LARGE = {
  method: "POST",
  body: newPicture(33 * 1024 * 1024),
  headers: { "content-type": "application/json" },
};

/** A way to each documented status of a route that captions one picture. */
const captioning = (path: string): Record<string, () => Promise<Response>> => ({
  200: () => startEdge().fetch(path, POST()),
  400: () => startEdge().fetch(path, POST("")),
  401: () => startEdge(KEYED).fetch(path, POST()),
  403: async () => startEdge(KEYED).fetch(path, { ...POST(), headers: await readOnlyKey() }),
  408: () => startEdge(HASTY).fetchOnly(path, SLOW()),
  413: () => startEdge().fetch(path, POST(newPicture(21 * 1024 * 1024))),
  415: () => startEdge().fetch(path, POST("text")),
  422: () => {
    network.backend("backend-a.test").answer = problem("unreadable-image", 422);
    return startEdge().fetch(path, POST());
  },
  429: async () => startEdge(LIMITED).fetch(path, { ...POST(), headers: await allKey() }),
  500: () => startEdge(BROKEN).fetch(path, POST()),
  502: () => {
    network.backend("backend-a.test").answer = () => new Response("", { status: 401 });
    return startEdge().fetch(path, POST());
  },
  503: () => {
    network.backend("backend-a.test").dead = true;
    return startEdge().fetch(path, POST());
  },
});

const JOB_LINE = `${JSON.stringify({ sha256: SHA })}\n`;
const NDJSON = { "content-type": "application/x-ndjson" };
const POST_JOB = (headers: Record<string, string> = {}, body: BodyInit = JOB_LINE) => ({
  method: "POST",
  body,
  headers: { ...NDJSON, ...headers },
});
/** Of one line that fails at once, so that there is a result. */
const newJob = async () =>
  Job.parse(await (await startEdge().fetch("/v1/jobs", POST_JOB({}, "x\n"))).json()).id;

/** A way to each documented status of a route that tells of a job. */
const ofJob = (path: string, init: RequestInit = {}): Record<string, () => Promise<Response>> => {
  const at = (id = `job_${"0".repeat(32)}`) => `/v1/jobs/${id}${path}`;
  return {
    200: async () => startEdge().fetch(at(await newJob()), init),
    401: () => startEdge(KEYED).fetch(at(), init),
    403: async () => startEdge(KEYED).fetch(at(), { ...init, headers: await readOnlyKey() }),
    404: () => startEdge().fetch(at(), init),
    429: async () => startEdge(LIMITED).fetch(at(), { ...init, headers: await allKey() }),
    500: () => startEdge(BROKEN).fetch(at(), init),
    503: async () => startEdge(KEYLESS).fetch(at(), { ...init, headers: await allKey() }),
  };
};

const WAYS: Record<string, Record<string, () => Promise<Response>>> = {
  "POST /v1/captions": captioning("/v1/captions"),
  "POST /models/{id}": {
    ...captioning("/models/tiny/blip"),
    404: () => startEdge().fetch("/models/other/model", POST()),
  },
  "GET /v1/captions/{sha256}": {
    200: async () => {
      const picture = newPicture();
      await startEdge().fetch("/v1/captions", POST(picture));
      return startEdge().fetch(`/v1/captions/${await hashOf(picture)}`);
    },
    304: async () => {
      const picture = newPicture();
      await startEdge().fetch("/v1/captions", POST(picture));
      const path = `/v1/captions/${await hashOf(picture)}`;
      return startEdge().fetch(path, { headers: { "if-none-match": "*" } });
    },
    400: () => startEdge().fetch(`/v1/captions/${SHA}?num_beams=0`),
    401: () => startEdge(KEYED).fetch(`/v1/captions/${SHA}`),
    403: async () => startEdge(KEYED).fetch(`/v1/captions/${SHA}`, { headers: await batchKey() }),
    404: () => startEdge().fetch(`/v1/captions/${SHA}`),
    413: () => knownFailure("too-many-pixels", 413),
    415: () => knownFailure("unsupported-image", 415),
    422: () => knownFailure("unreadable-image", 422),
    429: async () => startEdge(LIMITED).fetch(`/v1/captions/${SHA}`, { headers: await allKey() }),
    500: () => startEdge(BROKEN).fetch(`/v1/captions/${SHA}`),
    503: async () => startEdge(KEYLESS).fetch(`/v1/captions/${SHA}`, { headers: await allKey() }),
  },
  "DELETE /v1/captions/{sha256}": {
    204: () => startEdge().fetch(`/v1/captions/${SHA}`, DELETE),
    400: () => startEdge().fetch("/v1/captions/abc", DELETE),
    401: () => startEdge(KEYED).fetch(`/v1/captions/${SHA}`, DELETE),
    403: async () =>
      startEdge(KEYED).fetch(`/v1/captions/${SHA}`, { ...DELETE, headers: await readOnlyKey() }),
    429: async () => startEdge(LIMITED).fetch(`/v1/captions/${SHA}`, { ...DELETE, headers: await allKey() }),
    500: () => startEdge(BROKEN).fetch(`/v1/captions/${SHA}`, DELETE),
    503: async () => startEdge(KEYLESS).fetch(`/v1/captions/${SHA}`, { ...DELETE, headers: await allKey() }),
  },
  "POST /v1/jobs": {
    202: () => startEdge().fetch("/v1/jobs", POST_JOB()),
    400: () => startEdge().fetch("/v1/jobs", POST_JOB({}, "\n")),
    401: () => startEdge(KEYED).fetch("/v1/jobs", POST_JOB()),
    403: async () => startEdge(KEYED).fetch("/v1/jobs", POST_JOB(await readOnlyKey())),
    408: () => startEdge(HASTY).fetchOnly("/v1/jobs", SLOW()),
    409: async () => {
      const headers = { "idempotency-key": crypto.randomUUID() };
      const isRead = Promise.withResolvers<void>();
      const body = SLOW(isRead.resolve);
      const slow = startEdge({ UPLOAD_TIMEOUT_MS: "2000" }).fetch("/v1/jobs", { ...body, headers });
      await isRead.promise;
      const answer = await startEdge().fetch("/v1/jobs", POST_JOB(headers));
      await slow;
      return answer;
    },
    413: () => startEdge().fetch("/v1/jobs", POST_JOB({}, JOB_LINE.repeat(10_001))),
    415: () => startEdge().fetch("/v1/jobs", POST_JOB({ "content-encoding": "gzip" })),
    422: async () => {
      const headers = { "idempotency-key": crypto.randomUUID() };
      await startEdge().fetch("/v1/jobs", POST_JOB(headers));
      return startEdge().fetch("/v1/jobs", POST_JOB(headers, JOB_LINE.repeat(2)));
    },
    429: async () => startEdge(LIMITED).fetch("/v1/jobs", POST_JOB(await allKey())),
    500: () => startEdge(BROKEN).fetch("/v1/jobs", POST_JOB()),
    503: async () => startEdge(KEYLESS).fetch("/v1/jobs", POST_JOB(await allKey())),
  },
  "GET /v1/jobs/{id}": ofJob(""),
  "DELETE /v1/jobs/{id}": ofJob("", DELETE),
  "GET /v1/jobs/{id}/results": {
    ...ofJob("/results"),
    400: async () => startEdge().fetch(`/v1/jobs/${await newJob()}/results?format=xlsx`),
  },
  "GET /v1/jobs/{id}/events": {
    ...ofJob("/events"),
    204: async () =>
      startEdge().fetch(`/v1/jobs/${await newJob()}/events`, { headers: { "last-event-id": "end" } }),
  },
  "POST /v1/captions/batch": {
    200: () => startEdge().fetch("/v1/captions/batch", POST(JSON.stringify({ items: [{ sha256: SHA }] }))),
    400: () => startEdge().fetch("/v1/captions/batch", POST("{}")),
    401: () => startEdge(KEYED).fetch("/v1/captions/batch", POST("{}")),
    403: async () =>
      startEdge(KEYED).fetch("/v1/captions/batch", { ...POST("{}"), headers: await readOnlyKey() }),
    408: () => startEdge(HASTY).fetchOnly("/v1/captions/batch", SLOW()),
    413: () => startEdge().fetch("/v1/captions/batch", TOO_LARGE),
    415: () =>
      startEdge().fetch("/v1/captions/batch", { ...POST("{}"), headers: { "content-encoding": "gzip" } }),
    429: async () =>
      startEdge(LIMITED).fetch("/v1/captions/batch", { ...POST("{}"), headers: await allKey() }),
    500: () => startEdge(BROKEN).fetch("/v1/captions/batch", POST("{}")),
    503: async () =>
      startEdge(KEYLESS).fetch("/v1/captions/batch", { ...POST("{}"), headers: await allKey() }),
  },
  "GET /healthz": {
    200: () => startEdge().fetch("/healthz"),
    500: () => startEdge(BROKEN).fetch("/healthz"),
  },
  "GET /readyz": {
    200: () => startEdge().fetch("/readyz"),
    500: () => startEdge(BROKEN).fetch("/readyz"),
    503: () => {
      network.backend("backend-a.test").dead = true;
      return startEdge().fetch("/readyz");
    },
  },
};

/** A failure that was met before and is remembered: the hash alone is enough to be told of it. */
async function knownFailure(code: string, status: number): Promise<Response> {
  network.backend("backend-a.test").answer = problem(code, status);
  const edge = startEdge();
  const picture = newPicture();
  await edge.fetch("/v1/captions", POST(picture));
  return edge.fetch(`/v1/captions/${await hashOf(picture)}`);
}

/** Headers of ours, and those that say what to do about an answer. */
const TOLD = [
  "cache-status",
  "etag",
  "location",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
  "server-timing",
  "www-authenticate",
  "x-request-id",
];

interface DocumentedResponse {
  readonly description?: string;
  readonly headers?: Record<string, { readonly required: boolean }>;
  readonly content?: Record<string, unknown>;
}
const documented = Object.entries(openApiDocument().paths ?? {}).flatMap(([path, methods]) =>
  Object.entries(methods as Record<string, { responses: Record<string, DocumentedResponse> }>).flatMap(
    ([method, { responses }]) =>
      Object.entries(responses).map(
        ([status, response]) => [`${method.toUpperCase()} ${path}`, status, response] as const,
      ),
  ),
);

describe("the OpenAPI document", () => {
  test.each(documented)(
    "%s really answers %s",
    async (route, status, { description = "", headers = {}, content = {} }) => {
      const way = WAYS[route]?.[status];
      if (way === undefined) throw new Error(`No test reaches ${route} ${status}`);
      const response = await way();
      expect(response.status).toBe(Number(status));
      const sent = TOLD.filter((name) => response.headers.has(name));
      expect(Object.keys(headers).map((name) => name.toLowerCase())).toEqual(expect.arrayContaining(sent));
      const promised = Object.entries(headers).filter(([, { required }]) => required);
      expect(sent).toEqual(expect.arrayContaining(promised.map(([name]) => name.toLowerCase())));
      const type = response.headers.get("content-type");
      expect(type === null ? [] : [type]).toEqual(
        type === null ? Object.keys(content) : [expect.toBeOneOf(Object.keys(content))],
      );
      if (type === PROBLEM_CONTENT_TYPE) {
        expect(description).toContain(`\`${Problem.parse(await response.json()).code}\``);
      } else if (type === "application/x-ndjson") {
        BatchLine.parse(JSON.parse(await textOf(response)));
      } else if (route.includes("/v1/captions") && status === "200") {
        Caption.parse(await response.json());
      } else if (route.includes("/models/") && status === "200") {
        z.parse(z.array(ImageToTextOutput), await response.json());
      }
    },
  );

  test.each([
    [
      "POST /models/{id}",
      () => startEdge().fetch("/models/tiny/blip?language=fr", POST(newPicture())),
      "unsupported-language",
    ],
    ["GET /v1/captions/{sha256}", () => knownFailure("too-costly", 422), "too-costly"],
    ["GET /v1/captions/{sha256}", () => knownFailure("image-too-large", 413), "image-too-large"],
  ])("%s names its rarer failures too", async (route, way, code) => {
    const response = await way();
    expect(Problem.parse(await response.json()).code).toBe(code);
    const found = documented.find(([at, status]) => at === route && Number(status) === response.status);
    expect(found?.[2].description).toContain(`\`${code}\``);
  });

  test("a form takes every option that a query does, within the same bounds", () => {
    const { parameters, requestBody } = z.parse(
      z.object({
        parameters: z.array(z.object({ name: z.string(), schema: z.unknown() })),
        requestBody: z.object({
          content: z.record(
            z.string(),
            z.object({ schema: z.object({ properties: z.optional(z.record(z.string(), z.unknown())) }) }),
          ),
        }),
      }),
      openApiDocument().paths?.["/v1/captions"]?.post,
    );
    const options = Object.fromEntries(parameters.map(({ name, schema }) => [name, schema]));
    expect(Object.keys(options)).toContain("language");
    for (const type of ["multipart/form-data", "application/x-www-form-urlencoded"]) {
      expect(requestBody.content[type]?.schema.properties).toMatchObject(options);
    }
  });

  test("says which idempotency keys are taken", () => {
    expect(openApiDocument().paths?.["/v1/jobs"]?.post?.parameters).toContainEqual(
      expect.objectContaining({
        name: "idempotency-key",
        schema: expect.objectContaining({ pattern: "^[\\x21-\\x7e]{1,255}$" }),
      }),
    );
  });

  test("has one type for problems and one for models, so that a generated client has one of each", () => {
    const { schemas = {} } = openApiDocument().components ?? {};
    for (const [name, field] of [
      ["Problem", "code"],
      ["ModelIdentity", "revision"],
    ]) {
      const written = JSON.stringify(schemas).split(`"${field}":{"type":"string"`).length - 1;
      expect([name, written]).toEqual([name, 1]);
    }
  });

  test("a job's events have the fields that their schema names, and in `data` what it refers to", async () => {
    const { components, paths } = openApiDocument();
    const { content = {} } = paths?.["/v1/jobs/{id}/events"]?.get?.responses?.["200"] ?? {};
    const events = { type: "array", items: { $ref: "#/components/schemas/JobEvent" } };
    expect(content).toMatchObject({
      "text/event-stream": { schema: { type: "string", contentSchema: events } },
    });
    const { properties } = z.parse(
      z.object({
        properties: z.looseObject({ data: z.object({ contentSchema: z.object({ $ref: z.string() }) }) }),
      }),
      components?.schemas?.JobEvent,
    );
    expect(properties.data.contentSchema.$ref).toBe("#/components/schemas/Job");
    expect(components?.schemas).toHaveProperty("Job");
    const event = await textOf(await startEdge().fetch(`/v1/jobs/${await newJob()}/events`));
    const fields = event
      .trimEnd()
      .split("\n")
      .map((line) => line.split(": ", 1)[0]);
    expect(fields.toSorted()).toEqual(Object.keys(properties).toSorted());
    Job.parse(JSON.parse(/^data: (.*)$/m.exec(event)?.[1] ?? ""));
  });

  test("a page of another origin may read every header that it names", async () => {
    const named = new Set(
      documented.flatMap(([, , { headers = {} }]) => Object.keys(headers).map((name) => name.toLowerCase())),
    );
    const answer = await startEdge({ CORS_ORIGINS: "https://cms.example.com" }).fetch("/healthz", {
      headers: { origin: "https://cms.example.com" },
    });
    const exposed = new Set((answer.headers.get("access-control-expose-headers") ?? "").split(","));
    expect([...named].filter((name) => !exposed.has(name))).toEqual([]);
  });

  test("documents every route that is not a page", async () => {
    const routes = new Set(documented.map(([route]) => route));
    expect(routes).toEqual(new Set(Object.keys(WAYS)));
    const served = createApp(createServices(workerEnv))
      .routes.filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(\{[^}]*\})?/g, "{$1}")}`)
      .filter((route) => route !== "GET /openapi.json");
    expect(routes).toEqual(new Set(served));
    const response = await startEdge().fetch("/openapi.json");
    expect(await response.json()).toMatchObject({
      openapi: "3.1.0",
      paths: { "/v1/captions": { post: {} } },
    });
  });
});
