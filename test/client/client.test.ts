import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { CaptionApiError, CaptionTransportError, createCaptionClient } from "../../client/index.ts";
import { contentHash } from "../../shared/content-hash.ts";
import { toProblem } from "../../shared/problem.ts";
import { jobWith } from "../support/job.ts";

/** A real server on a real port; each test says how it answers. */
let server: Server;
let baseUrl: string;
let answer: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;
let seen: string[];

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      seen.push(`${request.method} ${request.url}`);
      answer(request, response, Buffer.concat(chunks));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  baseUrl = `http://127.0.0.1:${address.port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const picture = new Uint8Array([1, 2, 3]);
const caption = (sha256: string) => ({
  sha256,
  caption: "a dog",
  alt: "A dog",
  score: 0.5,
  needs_review: false,
  model: { id: "m", revision: "r" },
  cached: true,
});
const sendJson = (response: ServerResponse, status: number, body: unknown, headers = {}) => {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
};
const notCaptioned = toProblem({ code: "not-captioned", detail: "x" });

describe("caption", () => {
  test("uploads nothing if the hash is known", async () => {
    const sha256 = await contentHash(picture);
    answer = (_request, response) => sendJson(response, 200, caption(sha256));
    const found = await createCaptionClient({ baseUrl }).caption(new Blob([picture]), { max_length: 50 });
    expect(found.alt).toBe("A dog");
    expect(seen).toEqual([`GET /v1/captions/${sha256}?max_length=50`]);
  });

  test("uploads at once from a page of plain http, which cannot hash", async () => {
    vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
    onTestFinished(() => void vi.unstubAllGlobals());
    answer = (_request, response) => sendJson(response, 200, caption("0".repeat(64)));
    const client = createCaptionClient({ baseUrl });
    await client.caption(picture);
    expect(seen).toEqual(["POST /v1/captions"]);
    let key: unknown;
    answer = ({ headers }, response) => {
      key = headers["idempotency-key"];
      sendJson(response, 404, notCaptioned);
    };
    await expect(client.jobs.create([])).rejects.toBeInstanceOf(CaptionApiError);
    expect(key).toMatch(/^[0-9a-f]{32}$/);
  });

  test("uploads the bytes on 404, with the key and the options", async () => {
    const sha256 = await contentHash(picture);
    let uploaded: Buffer | undefined;
    let authorization: string | undefined;
    answer = (request, response, body) => {
      if (request.method === "GET") return sendJson(response, 404, notCaptioned);
      uploaded = body;
      authorization = request.headers.authorization;
      sendJson(response, 200, caption(sha256));
    };
    await createCaptionClient({ baseUrl: `${baseUrl}/`, apiKey: "ate_x" }).caption(picture, { num_beams: 3 });
    expect(seen).toEqual([`GET /v1/captions/${sha256}?num_beams=3`, "POST /v1/captions?num_beams=3"]);
    expect(uploaded).toEqual(Buffer.from(picture));
    expect(authorization).toBe("Bearer ate_x");
  });

  test("throws what the API said", async () => {
    answer = (_request, response) =>
      sendJson(response, 401, toProblem({ code: "unauthorized", detail: "No." }), { "x-request-id": "r1" });
    const error = await createCaptionClient({ baseUrl })
      .caption(picture)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CaptionApiError);
    expect(error).toMatchObject({ problem: { code: "unauthorized", status: 401 }, requestId: "r1" });
  });
});

describe("retries", () => {
  test("asks again on 429 and 503, and waits as long as it is told", async () => {
    const sha256 = await contentHash(picture);
    const statuses = [503, 429];
    const times: number[] = [];
    answer = (_request, response) => {
      times.push(performance.now());
      const status = statuses.shift();
      if (status === undefined) return sendJson(response, 200, caption(sha256));
      sendJson(response, status, {}, { "retry-after": "1" });
    };
    await createCaptionClient({ baseUrl }).find(sha256);
    expect(seen).toHaveLength(3);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(950);
  });

  test("a job whose request was cut off is created by the repeated request, even while the API still waits for the first", async () => {
    const job = jobWith({ id: "job_1", status: "queued" });
    const keys: unknown[] = [];
    answer = (request, response) => {
      keys.push(request.headers["idempotency-key"]);
      if (keys.length === 1) return request.socket.destroy();
      if (keys.length > 2) return sendJson(response, 202, job);
      const receiving = toProblem({ code: "request-in-progress", detail: "x" });
      sendJson(response, 409, receiving, { "retry-after": "1" });
    };
    const made = await createCaptionClient({ baseUrl }).jobs.create([{ sha256: "0".repeat(64) }]);
    expect([made.id, keys.length, new Set(keys).size]).toEqual(["job_1", 3, 1]);
  });

  test("gives up after its tries, and at once where the wait would be too long", async () => {
    answer = (_request, response) =>
      sendJson(response, 429, toProblem({ code: "quota-exceeded", detail: "x" }), { "retry-after": "3600" });
    await expect(createCaptionClient({ baseUrl }).find("0")).rejects.toMatchObject({
      problem: { code: "quota-exceeded" },
      retryAfterMs: 3_600_000,
    });
    expect(seen).toHaveLength(1);
    answer = (_request, response) => sendJson(response, 503, toProblem({ code: "unavailable", detail: "x" }));
    await expect(createCaptionClient({ baseUrl, retries: 1 }).find("0")).rejects.toBeInstanceOf(
      CaptionApiError,
    );
    expect(seen).toHaveLength(3);
  });

  test("survives a lost connection, and says so if every one is lost", async () => {
    const sha256 = await contentHash(picture);
    let lost = 1;
    answer = (request, response) => {
      if (lost-- > 0) request.socket.destroy();
      else sendJson(response, 200, caption(sha256));
    };
    expect((await createCaptionClient({ baseUrl }).find(sha256))?.alt).toBe("A dog");
    lost = 9;
    const failing = createCaptionClient({ baseUrl, retries: 1 }).find(sha256);
    await expect(failing).rejects.toBeInstanceOf(CaptionTransportError);
  });

  test("stops waiting when it is aborted", async () => {
    answer = (_request, response) => sendJson(response, 503, {}, { "retry-after": "30" });
    const signal = AbortSignal.timeout(50);
    const call = createCaptionClient({ baseUrl }).find("0", { signal });
    await expect(call).rejects.toMatchObject({ name: "TimeoutError" });
  });

  test.each([200, 503])(
    "an answer with status %d that breaks off is an error of its own kind",
    async (status) => {
      answer = (_request, response) => {
        response.writeHead(status, { "content-length": "500" });
        response.write("{", () => response.destroy());
      };
      const client = createCaptionClient({ baseUrl, retries: 0 });
      const calls = [
        () => client.find("0"),
        () => client.captionUrl("https://example.org/a.jpg"),
        () => client.jobs.get("0"),
      ];
      for (const call of calls) {
        const error = await call().catch((caught: unknown) => caught);
        expect(error).toBeInstanceOf(CaptionTransportError);
        expect(error).toMatchObject({ status });
      }
    },
  );

  test.each([200, 500])(
    "aborted in the middle of an answer with status %d, it throws the signal's reason",
    async (status) => {
      const controller = new AbortController();
      answer = (_request, response) => {
        response.writeHead(status, { "content-length": "500" });
        response.write("{", () => setTimeout(() => controller.abort("enough"), 50));
      };
      const call = createCaptionClient({ baseUrl }).find("0", { signal: controller.signal });
      await expect(call).rejects.toBe("enough");
    },
  );

  test("does not take something else for the API", async () => {
    answer = (_request, response) => response.writeHead(200).end("<html>Sign in to the Wi-Fi</html>");
    const error = await createCaptionClient({ baseUrl })
      .find("0")
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CaptionTransportError);
    expect(error).toMatchObject({ status: 200 });
  });
});

describe("batch", () => {
  test("gives each line as it arrives, even if it arrives in pieces", async () => {
    const lines = [
      { index: 1, status: "cached", ...caption("1".repeat(64)) },
      { index: 0, status: "error", problem: toProblem({ code: "not-an-image", detail: "é" }) },
    ];
    answer = (_request, response, body) => {
      expect(JSON.parse(String(body))).toEqual({ items: [{ image: "AA==" }, { sha256: "1".repeat(64) }] });
      const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
      const cut = bytes.indexOf("é") + 1;
      response.write(bytes.subarray(0, cut));
      setTimeout(() => response.end(bytes.subarray(cut)), 20);
    };
    const received = [];
    const items = [{ image: "AA==" }, { sha256: "1".repeat(64) }];
    for await (const line of createCaptionClient({ baseUrl }).batch(items)) received.push(line);
    expect(received).toEqual(lines);
  });

  test("asks for every item with the options of the call, as for one address", async () => {
    answer = (_request, response) => sendJson(response, 400, toProblem({ code: "bad-request", detail: "x" }));
    const client = createCaptionClient({ baseUrl });
    await expect(client.batch([{ image: "AA==" }], { max_length: 50 }).next()).rejects.toThrow();
    await expect(client.captionUrl("https://x.test/a.png", { max_length: 50 })).rejects.toThrow();
    expect(seen).toEqual(["POST /v1/captions/batch?max_length=50", "POST /v1/captions?max_length=50"]);
  });

  test("hangs up when its reader has seen enough", async () => {
    const line = JSON.stringify({ index: 0, status: "cached", ...caption("1".repeat(64)) });
    const closed = Promise.withResolvers<void>();
    answer = (_request, response) => {
      response.once("close", closed.resolve);
      response.writeHead(200, { "content-type": "application/x-ndjson" }).write(`${line}\n`);
    };
    const items = [{ sha256: "1".repeat(64) }, { sha256: "2".repeat(64) }];
    for await (const one of createCaptionClient({ baseUrl }).batch(items)) {
      expect(one.index).toBe(0);
      break;
    }
    await closed.promise;
  });

  test("sends no request for no items, and refuses too many by itself", async () => {
    answer = (_request, response) => sendJson(response, 400, toProblem({ code: "bad-request", detail: "x" }));
    const client = createCaptionClient({ baseUrl });
    const most = Array.from({ length: 100 }, () => ({ sha256: "" }));
    await expect(client.batch(most).next()).rejects.toMatchObject({ problem: { code: "bad-request" } });
    seen.length = 0;
    expect((await client.batch([]).next()).done).toBe(true);
    await expect(client.batch(Array.from({ length: 101 }, () => ({ sha256: "" }))).next()).rejects.toThrow(
      "101",
    );
    expect(seen).toEqual([]);
  });
});

describe("what is not quite the API", () => {
  const client = () => createCaptionClient({ baseUrl: `${baseUrl}/captions/`, retries: 0 });

  test("a proxy's page keeps its status", async () => {
    answer = (_request, response) =>
      response.writeHead(413, { "content-type": "text/html" }).end("<h1>Too large</h1>");
    const error = await client()
      .caption(picture)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CaptionTransportError);
    expect(error).toMatchObject({ status: 413, message: expect.stringContaining("413") });
    expect(seen[0]).toMatch(/^GET \/captions\/v1\/captions\//);
  });

  test("a problem with a code that is newer than this client is still a problem", async () => {
    answer = (_request, response) =>
      sendJson(response, 422, { ...notCaptioned, status: 422, code: "of-tomorrow" });
    await expect(client().captionUrl("https://x.test/a.png")).rejects.toMatchObject({
      name: "CaptionApiError",
      problem: { code: "of-tomorrow" },
    });
  });

  test.each([
    ["between two lines", (line: string) => `${line}\n`, false],
    ["within a line", (line: string) => `${line}\n${line.slice(0, 20)}`, false],
    ["as if it were whole", (line: string) => `${line}\n`, true],
  ])("a batch that breaks off %s says how far it came", async (_name, sent, endsWell) => {
    const line = JSON.stringify({
      index: 0,
      status: "error",
      problem: { ...notCaptioned, code: "of-tomorrow" },
    });
    answer = (_request, response) => {
      response
        .writeHead(200, { "content-type": "application/x-ndjson" })
        .write(sent(line), () => (endsWell ? response.end() : response.destroy()));
    };
    const lines: unknown[] = [];
    const reading = (async () => {
      for await (const one of client().batch([{ sha256: "0".repeat(64) }, { sha256: "1".repeat(64) }]))
        lines.push(one);
    })();
    await expect(reading).rejects.toMatchObject({
      name: "CaptionTransportError",
      message: expect.stringContaining("1 of 2"),
    });
    expect(lines).toMatchObject([{ index: 0, problem: { code: "of-tomorrow" } }]);
  });
});

test("bytes in memory shared between threads are sent like any others", async () => {
  const shared = new Uint8Array(new SharedArrayBuffer(picture.length));
  shared.set(picture);
  answer = (request, response, body) =>
    request.method === "GET"
      ? sendJson(response, 404, notCaptioned)
      : sendJson(response, 200, { ...caption("0".repeat(64)), caption: [...body].join() });
  const found = await createCaptionClient({ baseUrl }).caption(shared);
  expect(found.caption).toBe("1,2,3");
  expect(seen[0]).toBe(`GET /v1/captions/${await contentHash(picture)}`);
});

test.each([{ retries: Number.NaN }, { retries: -1 }, { maxRetryAfterMs: Number.NaN }])(
  "%o is refused, because retrying or waiting would never end",
  (options) => {
    expect(() => createCaptionClient({ baseUrl, ...options })).toThrow(RangeError);
  },
);

const SHA256 = "0".repeat(64);

test.each(["", "captions.example.com", "localhost:8787", "/api", "ftp://captions.example.com"])(
  "an address that nothing can be fetched from is refused without another try: %o",
  async (address) => {
    const client = createCaptionClient({ baseUrl: address });
    await expect(client.find("0")).rejects.toThrow(RangeError);
    await expect(client.find("0")).rejects.toThrow("expected baseUrl to begin with https://");
    const own = createCaptionClient({ baseUrl: address, fetch: async () => Response.json(caption(SHA256)) });
    expect((await own.find(SHA256))?.sha256).toBe(SHA256);
  },
);

test("in a page an address may be relative", async () => {
  vi.stubGlobal("location", { href: "https://cms.example.com/admin" });
  const asked = vi.fn(async (_address: string) => Response.json(caption(SHA256)));
  vi.stubGlobal("fetch", asked);
  onTestFinished(() => void vi.unstubAllGlobals());
  await createCaptionClient({ baseUrl: "/captions" }).find(SHA256);
  expect(asked.mock.lastCall?.[0]).toBe(`/captions/v1/captions/${SHA256}`);
});

test("a key that no header can carry is refused, and not shown", () => {
  const made = () => createCaptionClient({ baseUrl, apiKey: "ate_secret\nx" });
  expect(made).toThrow(new RangeError("expected apiKey to be one line of ASCII characters"));
});
