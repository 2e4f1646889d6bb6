/** The running edge on bad days: what the client sees when captioners die, stall or lie. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { freePort, startServer } from "../../local/local-server.ts";
import { contentHash } from "../../shared/content-hash.ts";
import { Problem } from "../../shared/problem.ts";
import { Caption } from "../../shared/schema.ts";
import { jpegPicture } from "../support/pictures.ts";
import { type RunningBackend, startBackend } from "./edge-support.ts";

const post = (edge: RunningEdge, body: Uint8Array<ArrayBuffer>) =>
  fetch(`${edge.url}/v1/captions`, { method: "POST", body });
const problemOf = async (response: Response) => Problem.parse(await response.json());

/** Requests that these captioners have and have not answered. */
async function requestsInFlight(backends: readonly RunningBackend[]): Promise<number> {
  const counts = backends.map(async ({ url }) => {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    return Number(/^caption_requests_in_flight\{.*\} (\d+)$/m.exec(metrics)?.[1]);
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

let seed = 0;
const newPicture = () => jpegPicture(++seed * 7919);

describe("two captioners", () => {
  let edge: RunningEdge;
  let backends: [RunningBackend, RunningBackend];

  beforeAll(async () => {
    backends = [await startBackend(), await startBackend()];
    edge = await startEdge({
      BACKEND_URLS: backends.map(({ url }) => url).join(","),
      ATTEMPT_TIMEOUT_MS: "4000",
    });
  });
  afterAll(async () => {
    await edge.stop();
    for (const backend of backends) backend.process.kill("SIGKILL");
  });

  test("200 identical uploads at once cost one forward pass", async () => {
    const picture = await newPicture();
    for (const backend of backends) backend.process.send("hold");
    const sent = Array.from({ length: 200 }, () => post(edge, picture));
    const busy = await Promise.race(backends.map(async (backend) => (await backend.passes(1)) && backend));
    for (const backend of backends) backend.process.send("release");
    const answers = await Promise.all(sent);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(200);
    expect(await busy.passes(1)).toEqual([1]);
    const captions = await Promise.all(
      answers.map(async (answer) => Caption.parse(await answer.json()).caption),
    );
    expect(new Set(captions).size).toBe(1);
  });

  test("also across isolates: the same captioner gets them all, and joins them", async () => {
    const elsewhere = await startEdge({ BACKEND_URLS: backends.map(({ url }) => url).join(",") });
    try {
      const picture = await newPicture();
      const before = await Promise.all(backends.map(({ passes }) => passes(0)));
      for (const backend of backends) backend.process.send("hold");
      const sent = Array.from({ length: 40 }, (_, index) =>
        post(index % 2 === 0 ? edge : elsewhere, picture),
      );
      // One request of each isolate, for which it waits until it asks elsewhere.
      await expect.poll(() => requestsInFlight(backends)).toBe(2);
      for (const backend of backends) backend.process.send("release");
      const answers = await Promise.all(sent);
      expect(answers.map(({ status }) => status)).toEqual(sent.map(() => 200));
      const after = await Promise.all(backends.map(({ passes }) => passes(0)));
      const added = after.map((passes, index) => passes.length - (before[index]?.length ?? 0));
      expect(added.sort()).toEqual([0, 1]);
    } finally {
      await elsewhere.stop();
    }
  });

  test("a client that goes leaves the caption to those who wait with it, and to the cache", async () => {
    const picture = await newPicture();
    const before = await Promise.all(backends.map(({ passes }) => passes(0)));
    for (const backend of backends) backend.process.send("hold");
    const impatient = new AbortController();
    const gone = fetch(`${edge.url}/v1/captions`, {
      method: "POST",
      body: picture,
      signal: impatient.signal,
    });
    await Promise.race(backends.map((backend, index) => backend.passes((before[index]?.length ?? 0) + 1)));
    const waiting = post(edge, picture);
    await new Promise((resolve) => setTimeout(resolve, 200));
    impatient.abort();
    await expect(gone).rejects.toThrow();
    for (const backend of backends) backend.process.send("release");
    expect((await waiting).status).toBe(200);
    expect((await fetch(`${edge.url}/v1/captions/${await contentHash(picture)}`)).status).toBe(200);
  });

  test("one that stalls, and is then killed mid-request, costs nobody the caption", async () => {
    const [first, second] = backends;
    first.process.send("hold");
    const stalled = await Promise.all(
      Array.from({ length: 6 }, async () => (await post(edge, await newPicture())).status),
    );
    expect(stalled).toEqual(Array.from({ length: 6 }, () => 200));
    const pending = Array.from({ length: 6 }, async () => (await post(edge, await newPicture())).status);
    first.process.kill("SIGKILL");
    expect(await Promise.all(pending)).toEqual(Array.from({ length: 6 }, () => 200));
    second.process.send("release");
  });

  test("with the last one gone too, cached captions go on and the others are told when to come back", async () => {
    const picture = await newPicture();
    expect((await post(edge, picture)).status).toBe(200);
    for (const backend of backends) backend.process.kill("SIGKILL");
    const again = await post(edge, picture);
    expect(again.headers.get("cache-status")).toBe("memory; hit");
    expect((await fetch(`${edge.url}/v1/captions/${await contentHash(picture)}`)).status).toBe(200);
    const refused = await post(edge, await newPicture());
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("5");
    expect((await problemOf(refused)).code).toBe("unavailable");
    expect((await fetch(`${edge.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${edge.url}/healthz`)).status).toBe(200);
  });
});

describe("one captioner and one that is no good", () => {
  let edge: RunningEdge;
  let good: RunningBackend;
  let behaviour: Parameters<typeof startServer>[0] = (_request, response) => response.destroy();
  let bad: Awaited<ReturnType<typeof startServer>>;
  let dead: string;

  beforeAll(async () => {
    good = await startBackend();
    bad = await startServer((request, response) => behaviour(request, response));
    dead = `http://127.0.0.1:${await freePort()}`;
    edge = await startEdge({ BACKEND_URLS: `${bad.url},${dead},${good.url}`, ATTEMPT_TIMEOUT_MS: "3000" });
  });
  afterAll(async () => {
    await edge.stop();
    good.process.kill("SIGKILL");
    bad.close();
  });

  let turn = 0;
  test.each<[string, Parameters<typeof startServer>[0]]>([
    ["answers HTML", (_request, response) => response.end("<html>It works!</html>")],
    [
      "answers JSON of something else",
      (_request, response) => {
        response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}');
      },
    ],
    [
      "answers 500 half of the time and rubbish otherwise",
      (_request, response) => {
        response.writeHead(turn++ % 2 === 0 ? 500 : 200, { "content-type": "application/json" }).end("{");
      },
    ],
    ["hangs up", (request) => request.socket.destroy()],
    [
      "hangs up in the middle of its answer",
      (request, response) => {
        response.writeHead(200, { "content-length": "1000" }).write("[{");
        setTimeout(() => request.socket.destroy(), 10);
      },
    ],
    ["never answers", () => {}],
    [
      "redirects elsewhere",
      (_request, response) => {
        response.writeHead(307, { location: "http://127.0.0.1:1/" }).end();
      },
    ],
  ])("a captioner that %s costs nobody the caption", async (_name, told) => {
    behaviour = told;
    const answers = await Promise.all(Array.from({ length: 8 }, async () => post(edge, await newPicture())));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
  });
});

test("a captioner that restarts is used again as soon as it is back", async () => {
  const port = await freePort();
  const edge = await startEdge({ BACKEND_URLS: `http://127.0.0.1:${port}` });
  try {
    expect((await post(edge, await newPicture())).status).toBe(503);
    const first = await startBackend({ PORT: String(port) });
    expect((await post(edge, await newPicture())).status).toBe(200);
    first.process.kill("SIGTERM");
    await new Promise((resolve) => first.process.on("exit", resolve));
    expect((await post(edge, await newPicture())).status).toBe(503);
    const second = await startBackend({ PORT: String(port) });
    expect((await post(edge, await newPicture())).status).toBe(200);
    second.process.kill("SIGKILL");
  } finally {
    await edge.stop();
  }
});

describe("addresses", () => {
  let edge: RunningEdge;
  let backend: RunningBackend;
  let media: Awaited<ReturnType<typeof startServer>>;
  let picture: Uint8Array<ArrayBuffer>;

  beforeAll(async () => {
    picture = await newPicture();
    backend = await startBackend();
    media = await startServer((request, response) => {
      switch (request.url) {
        case "/picture":
          return response.end(picture);
        case "/redirect":
          return response.writeHead(302, { location: backend.url }).end();
        case "/endless": {
          const chunk = Buffer.alloc(1024 * 1024);
          const more = () => {
            while (response.write(chunk));
          };
          response.on("drain", more);
          return more();
        }
        case "/slow":
          return response.writeHead(200, { "content-length": "100" }).write("x");
        default:
          return response.writeHead(404).end("internal secret");
      }
    });
    edge = await startEdge({
      BACKEND_URLS: backend.url,
      URL_ALLOWED_HOSTS: new URL(media.url).host,
      URL_TIMEOUT_MS: "2000",
    });
  });
  afterAll(async () => {
    await edge.stop();
    media.close();
    backend.process.kill("SIGKILL");
  });

  const ask = (url: string) =>
    fetch(`${edge.url}/v1/captions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url }),
    });

  test("a picture is fetched", async () => {
    expect(Caption.parse(await (await ask(`${media.url}/picture`)).json()).sha256).toBe(
      await contentHash(picture),
    );
  });

  test.each([
    ["/redirect", 403, "url-refused"],
    ["/endless", 413, "image-too-large"],
    ["/slow", 422, "url-unreachable"],
    ["/missing", 422, "url-unreachable"],
  ])("%s is cut off with its own code", async (path, status, code) => {
    const response = await ask(`${media.url}${path}`);
    expect(response.status).toBe(status);
    const problem = await problemOf(response);
    expect(problem.code).toBe(code);
    expect(problem.detail).not.toContain("secret");
  });

  test("the captioner's own address is refused", async () => {
    expect((await problemOf(await ask(`${backend.url}/v1/model`))).code).toBe("url-refused");
  });
});
