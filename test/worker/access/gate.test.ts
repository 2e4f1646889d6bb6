import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type ApiKeyScope, apiKeyStorageKey, createApiKey } from "../../../shared/api-key.ts";
import { Problem } from "../../../shared/problem.ts";
import { fakeNetwork } from "../support/backends.ts";
import { startEdge } from "../support/edge.ts";
import { textOf } from "../support/edge-test.ts";
import { newPicture } from "../support/pictures.ts";

beforeEach(() => {
  fakeNetwork().backend("backend-a.test");
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function issueKey(options: { scopes?: ApiKeyScope[]; daily_quota?: number } = {}) {
  const { scopes = ["read", "caption", "batch"], daily_quota = 100 } = options;
  const { key, record } = await createApiKey({ name: "test", scopes, daily_quota, now: new Date() });
  await env.KEYS.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  return { key, record };
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const post = (headers: Record<string, string> = {}, body = newPicture()): RequestInit => ({
  method: "POST",
  body,
  headers,
});
const codeOf = async (response: Response) => Problem.parse(await response.json()).code;
const KEYED = { ACCESS: "keys" };

describe("keys", () => {
  test("without configuration everything that captions is closed, and health, docs and page are not", async () => {
    const edge = startEdge({ ACCESS: undefined });
    for (const [method, path] of [
      ["POST", "/v1/captions"],
      ["POST", "/v1/captions/batch"],
      ["POST", "/models/tiny/blip"],
      ["GET", `/v1/captions/${"0".repeat(64)}`],
    ] as const) {
      const response = await edge.fetch(path, { method });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(await codeOf(response)).toBe("unauthorized");
    }
    expect((await edge.fetch("/healthz")).status).toBe(200);
  });

  test("a key lets in; a wrong secret, a wrong id and a malformed key do not", async () => {
    const edge = startEdge(KEYED);
    const { key } = await issueKey();
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(200);
    const other = (await issueKey()).key;
    for (const wrong of [
      `${key.slice(0, 21)}${other.slice(21)}`,
      `ate_${"0".repeat(16)}_${"0".repeat(64)}`,
      "x",
    ]) {
      expect(await codeOf(await edge.fetch("/v1/captions", post(bearer(wrong))))).toBe("unauthorized");
    }
  });

  test("a key does what its scopes say", async () => {
    const edge = startEdge(KEYED);
    const { key } = await issueKey({ scopes: ["read"] });
    const response = await edge.fetch("/v1/captions", post(bearer(key)));
    expect(response.status).toBe(403);
    expect(await codeOf(response)).toBe("forbidden");
    const path = `/v1/captions/${"0".repeat(64)}`;
    expect(await codeOf(await edge.fetch(path, { headers: bearer(key) }))).toBe("not-captioned");
  });

  test("a revoked key stops within a minute", async () => {
    const edge = startEdge(KEYED);
    const { key, record } = await issueKey();
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(200);
    await env.KEYS.delete(apiKeyStorageKey(record.id));
    const now = Date.now();
    vi.spyOn(Date, "now").mockImplementation(() => now + 60_001);
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(401);
  });

  test("a revoked key also stops if the clock was a day ahead when it was read, and is then set right", async () => {
    const edge = startEdge(KEYED);
    const { key, record } = await issueKey();
    const now = Date.now();
    const clock = vi.spyOn(Date, "now").mockImplementation(() => now + 86_400_000);
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(200);
    await env.KEYS.delete(apiKeyStorageKey(record.id));
    clock.mockRestore();
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(401);
  });

  test("while KV is down a known key works, and an unknown one is told to come back", async () => {
    let down = false;
    const KEYS = {
      get: (id: string) => (down ? Promise.reject(new Error("KV is down")) : env.KEYS.get(id)),
    };
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const edge = startEdge({ ...KEYED, KEYS, LOG_LEVEL: "warn" });
    const { key } = await issueKey();
    const { key: unseen } = await issueKey();
    await edge.fetch("/v1/captions", post(bearer(key)));
    down = true;
    const now = Date.now();
    vi.spyOn(Date, "now").mockImplementation(() => now + 60_001);
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(200);
    const response = await edge.fetch("/v1/captions", post(bearer(unseen)));
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("5");
    const failed = { warnings: ["key failed: KV is down"] };
    expect(JSON.parse(String(warn.mock.calls[0]?.[0]))).toMatchObject({ status: 200, ...failed });
    expect(JSON.parse(String(error.mock.calls[0]?.[0]))).toMatchObject({ status: 503, ...failed });
  });

  test("while KV is down a known key works for an hour and no longer: it may have been revoked", async () => {
    let down = false;
    const keys = {
      get: (id: string) => (down ? Promise.reject(new Error("KV is down")) : env.KEYS.get(id)),
    };
    const clock = vi.spyOn(Date, "now").mockReturnValue(Date.now());
    const edge = startEdge({ ...KEYED, KEYS: keys, LOG_LEVEL: "silent" });
    const { key } = await issueKey();
    const statusAfter = async (minutes: number) => {
      clock.mockReturnValue(Date.now() + minutes * 60_000);
      return (await edge.fetch(`/v1/captions/${"0".repeat(64)}`, { headers: bearer(key) })).status;
    };
    expect(await statusAfter(0)).toBe(404);
    down = true;
    expect(await statusAfter(59)).toBe(404);
    expect(await statusAfter(1)).toBe(503);
  });

  test("a record that cannot be read is named in the log", async () => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const { key, record } = await issueKey();
    await env.KEYS.put(
      apiKeyStorageKey(record.id),
      JSON.stringify({ ...record, scopes: ["of-a-newer-version"] }),
    );
    expect((await startEdge(KEYED).fetch("/v1/captions", post(bearer(key)))).status).toBe(503);
    const { warnings } = JSON.parse(String(error.mock.calls[0]?.[0]));
    expect(warnings).toEqual([`key failed: this version cannot read the record of ${record.id}`]);
  });

  test("the log names the key by its id, and holds no secret", async () => {
    const info = vi.spyOn(console, "info").mockImplementation(() => {});
    const { key, record } = await issueKey();
    await startEdge({ ...KEYED, LOG_LEVEL: "info" }).fetch("/v1/captions", post(bearer(key)));
    const line = JSON.parse(String(info.mock.calls[0]?.[0]));
    expect(line).toMatchObject({
      level: "info",
      key_id: record.id,
      status: 200,
      tier: "none",
      method: "POST",
    });
    expect(line.legs_ms.captioner).toBeGreaterThanOrEqual(0);
    expect(JSON.stringify(line)).not.toContain(key.split("_")[2]);
  });
});

test("the log also has what went wrong after the answer", async () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  const CAPTIONS = { get: async () => null, put: () => Promise.reject(new Error("KV is full")) };
  const edge = startEdge({ CAPTIONS, LOG_LEVEL: "info" });
  expect((await edge.fetch("/v1/captions", post())).status).toBe(200);
  const line = JSON.parse(String(warn.mock.calls[0]?.[0]));
  expect(line.warnings).toContain("kv failed: KV is full");
});

test("the log tells apart failures that share a status, those of a batch's items too", async () => {
  const info = vi.spyOn(console, "info").mockImplementation(() => {});
  const edge = startEdge({ ...KEYED, LOG_LEVEL: "info" });
  const { key } = await issueKey({ daily_quota: 1 });
  await edge.fetch("/v1/captions", post(bearer(key)));
  await edge.fetch("/v1/captions", post(bearer(key)));
  const items = [{ sha256: "0".repeat(64) }, { image: "AAAA" }, { sha256: "1".repeat(64) }];
  const body = JSON.stringify({ items });
  await textOf(await edge.fetch("/v1/captions/batch", { method: "POST", headers: bearer(key), body }));
  const [captioned, ...failed] = info.mock.calls.map(([line]) => JSON.parse(String(line)));
  expect(captioned).not.toHaveProperty("problems");
  expect(failed).toMatchObject([
    { status: 429, problems: { "quota-exceeded": 1 } },
    { status: 200, problems: { "not-captioned": 2, "not-an-image": 1 } },
  ]);
});

describe("limits", () => {
  test("a day's quota counts new captions only, and says when it starts anew", async () => {
    const edge = startEdge(KEYED);
    const { key } = await issueKey({ daily_quota: 2 });
    const picture = newPicture();
    const first = await edge.fetch("/v1/captions", post(bearer(key), picture));
    expect(first.headers.get("ratelimit-policy")).toBe('"daily";q=2;w=86400');
    expect(first.headers.get("ratelimit")).toMatch(/^"daily";r=1;t=\d+$/);
    await edge.fetch("/v1/captions", post(bearer(key), picture));
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(200);
    const spent = await edge.fetch("/v1/captions", post(bearer(key)));
    expect(spent.status).toBe(429);
    expect(Number(spent.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await codeOf(spent)).toBe("quota-exceeded");
    expect((await edge.fetch("/v1/captions", post(bearer(key), picture))).status).toBe(200);
  });

  test("a key that is too fast is told to wait; a broken counter stops nobody", async () => {
    const { key } = await issueKey();
    const limited = startEdge({ ...KEYED, RATE_LIMIT: { limit: async () => ({ success: false }) } });
    const response = await limited.fetch("/v1/captions", post(bearer(key)));
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("60");
    expect(await codeOf(response)).toBe("rate-limited");
    const broken = startEdge({ ...KEYED, RATE_LIMIT: { limit: () => Promise.reject(new Error("down")) } });
    expect((await broken.fetch("/v1/captions", post(bearer(key)))).status).toBe(200);
  });

  test("a counter that does not answer in its time holds nobody up, and stands in the log", async () => {
    const { key } = await issueKey();
    const stalled = { spend: () => new Promise(() => {}) };
    const QUOTA = { getByName: () => stalled };
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const edge = startEdge({ ...KEYED, QUOTA, COUNTER_TIMEOUT_MS: "20", LOG_LEVEL: "info" });
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(200);
    expect(JSON.parse(String(warn.mock.calls[0]?.[0])).warnings).toContain("quota is slow");
  });
});

describe("keys that do not exist", () => {
  const bogus = (index: number) => `ate_${index.toString(16).padStart(16, "0")}_${"0".repeat(64)}`;
  const from = (address: string, key: string) => post({ ...bearer(key), "cf-connecting-ip": address });
  const PATIENT = { limit: async () => ({ success: true }) };

  test("2,500 of them push out no known key", async () => {
    // A key that is known is not read again for a minute, which all of them may take.
    vi.spyOn(Date, "now").mockReturnValue(Date.now());
    const get = vi.fn((id: string) => env.KEYS.get(id));
    const edge = startEdge({ ...KEYED, KEYS: { get }, STRANGER_LIMIT: PATIENT });
    const { key } = await issueKey();
    await edge.fetch("/v1/captions", post(bearer(key)));
    for (let index = 0; index < 2_500; index++)
      await edge.fetch("/v1/captions", from("203.0.113.1", bogus(index)));
    get.mockClear();
    expect((await edge.fetch("/v1/captions", post(bearer(key)))).status).toBe(200);
    expect((await edge.fetch("/v1/captions", from("203.0.113.1", bogus(2_499)))).status).toBe(401);
    expect(get).not.toHaveBeenCalled();
  });

  test("for an address that tries many, no more keys are looked up; its known keys and other addresses still work", async () => {
    const get = vi.fn((id: string) => env.KEYS.get(id));
    const counts = new Map<string, number>();
    const STRANGER_LIMIT = {
      async limit({ key }: { key: string }) {
        counts.set(key, (counts.get(key) ?? 0) + 1);
        return { success: (counts.get(key) ?? 0) <= 3 };
      },
    };
    const edge = startEdge({ ...KEYED, KEYS: { get }, STRANGER_LIMIT });
    const { key } = await issueKey();
    await edge.fetch("/v1/captions", from("2001:db8:1:2::1", key));
    const statuses: number[] = [];
    for (let index = 0; index < 6; index++) {
      const response = await edge.fetch("/v1/captions", from(`2001:db8:1:2::${index}`, bogus(index)));
      statuses.push(response.status);
    }
    expect(statuses).toEqual([401, 401, 401, 401, 429, 429]);
    expect(get).toHaveBeenCalledTimes(5);
    expect((await edge.fetch("/v1/captions", from("2001:db8:1:2::1", key))).status).toBe(200);
    expect((await edge.fetch("/v1/captions", from("2001:db8:1:3::1", bogus(9)))).status).toBe(401);
    const later = Date.now() + 60_000;
    vi.spyOn(Date, "now").mockImplementation(() => later);
    expect((await edge.fetch("/v1/captions", from("2001:db8:1:2::1", bogus(9)))).status).toBe(401);
  });
});

describe("CORS", () => {
  const preflight: RequestInit = {
    method: "OPTIONS",
    headers: { origin: "https://cms.example.com", "access-control-request-method": "POST" },
  };

  test("is closed unless configured", async () => {
    const response = await startEdge().fetch("/v1/captions", preflight);
    expect(response.status).toBe(405);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("opens for the configured origins, also before a key is known, and shows our headers", async () => {
    const edge = startEdge({ ...KEYED, CORS_ORIGINS: "https://cms.example.com, https://b.example.com" });
    const response = await edge.fetch("/v1/captions", preflight);
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("https://cms.example.com");
    const refused = await edge.fetch("/v1/captions", {
      ...preflight,
      headers: { origin: "https://evil.example.com" },
    });
    expect(refused.headers.get("access-control-allow-origin")).toBeNull();
    const answer = await edge.fetch("/v1/captions", post({ origin: "https://cms.example.com" }));
    expect(answer.status).toBe(401);
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://cms.example.com");
    expect(answer.headers.get("access-control-expose-headers")).toContain("cache-status");
  });
});

test("a worker that is not configured says so without details", async () => {
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  const response = await startEdge({ BACKEND_URLS: "ftp://x" }).fetch("/healthz");
  expect(response.status).toBe(500);
  expect(await codeOf(response)).toBe("internal");
  const line = JSON.parse(String(error.mock.calls[0]?.[0]));
  expect(line).toMatchObject({
    level: "error",
    service: "worker",
    error: expect.stringContaining("BACKEND_URLS"),
  });
});
