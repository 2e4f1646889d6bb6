import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import { problemOf, useFakeNetwork } from "../support/edge-test.ts";
import {
  CAPTIONER_HOST,
  ended,
  jobOf,
  linesOf,
  ndjson,
  PATIENCE_MS,
  postJob,
  servePictures,
  startKeyedEdge,
} from "../support/jobs.ts";
import { hashOf, newPicture } from "../support/pictures.ts";

const network = useFakeNetwork();

// The longest of the jobs here takes minutes on a busy machine.
vi.setConfig({ testTimeout: 6 * PATIENCE_MS });

const serve = (count: number) => servePictures(network(), count);

test("a job captions the pictures of its items, with one line each in their order, and a bad item fails alone", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const known = newPicture();
  await edge.fetch("/v1/captions", { method: "POST", body: known });
  const [first = "", second = ""] = serve(2);
  const body = [
    JSON.stringify({ url: first, id: "a", metadata: { post: 7 } }),
    JSON.stringify({ sha256: await hashOf(known), url: null, id: "b", metadata: null }),
    "",
    "not json",
    JSON.stringify({ sha256: "0".repeat(64) }),
    JSON.stringify({ url: "http://10.0.0.1/" }),
    JSON.stringify({ id: "neither", metadata: { post: 8 } }),
    JSON.stringify({ url: second, metadata: "x".repeat(5_000) }),
    `{"url":"${second}","id":"c","metadata":{"post":9007199254740993}}`,
  ].join("\n");
  const response = await postJob(edge, body);
  expect(response.status).toBe(202);
  const job = await jobOf(response);
  expect(response.headers.get("location")).toBe(`/v1/jobs/${job.id}`);
  expect(job).toMatchObject({ status: "queued", counts: { total: 8, failed: 4, waiting: 4 }, webhook: null });

  const done = await ended(edge, job.id);
  expect(done).toMatchObject({
    status: "completed",
    counts: { total: 8, waiting: 0, cached: 1, generated: 1, failed: 6, cancelled: 0 },
    seconds_left: null,
    paused: null,
  });
  const lines = await linesOf(edge, job.id);
  expect(lines.map(({ index, id, metadata, ...line }) => [index, id, metadata, line.status])).toEqual([
    [0, "a", { post: 7 }, "generated"],
    [1, "b", null, "cached"],
    [2, undefined, undefined, "error"],
    [3, undefined, undefined, "error"],
    [4, undefined, undefined, "error"],
    [5, "neither", { post: 8 }, "error"],
    [6, undefined, undefined, "error"],
    // Another number than was sent would come back.
    [7, "c", undefined, "error"],
  ]);
  expect(lines.flatMap((line) => (line.status === "error" ? [line.problem.code] : []))).toEqual([
    "bad-request",
    "not-captioned",
    "url-refused",
    "bad-request",
    "bad-request",
    "bad-request",
  ]);
  expect(lines[2]).toMatchObject({ problem: { detail: "line 4 is not JSON in UTF-8" } });
  expect(lines[5]).toMatchObject({ problem: { detail: expect.stringContaining("line 7: ") } });
});

test("an id that was cut in the middle of a character is refused, and does not come back as another", async () => {
  const edge = await startKeyedEdge();
  const lines = ndjson(["cat 🐈", "cat 🐈".slice(0, -1)].map((id) => ({ sha256: "0".repeat(64), id })));
  const job = await jobOf(await postJob(edge, lines));
  await ended(edge, job.id);
  expect(await linesOf(edge, job.id)).toMatchObject([
    { id: "cat 🐈", problem: { code: "not-captioned" } },
    {
      problem: {
        code: "bad-request",
        detail: "line 2: id: expected whole characters, got half of a surrogate pair",
      },
    },
  ]);
});

test("lines of JSON that are sent as something else are answered with what to set", async () => {
  const edge = await startKeyedEdge();
  const body = `${JSON.stringify({ sha256: "0".repeat(64) })}\r\n`.repeat(2);
  for (const type of ["application/json", "application/x-www-form-urlencoded", "text/plain"]) {
    const problem = await problemOf(await postJob(edge, body, { headers: { "content-type": type } }));
    expect(problem).toMatchObject({
      code: "bad-request",
      detail: expect.stringContaining("content-type: application/x-ndjson"),
    });
  }
  const broken = await postJob(edge, '{\n"items":', { headers: { "content-type": "application/json" } });
  expect((await problemOf(broken)).detail).toBe("The body is not JSON in UTF-8.");
});

test("JSON takes options, which count before those of the query, and items; identical pictures are captioned once", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const picture = newPicture();
  const urls = Array.from(
    { length: 60 },
    (_, i) => `https://media.example.com/same/${crypto.randomUUID()}/${i}`,
  );
  const fetched: string[] = [];
  for (const url of urls) {
    network().pages.set(url, () => {
      fetched.push(url);
      return new Response(picture);
    });
  }
  const job = await jobOf(
    await postJob(
      edge,
      { items: urls.map((url) => ({ url })), num_beams: 3, max_length: 20 },
      { query: "?num_beams=5" },
    ),
  );
  const { counts } = await ended(edge, job.id);
  expect(backend.requests).toHaveLength(1);
  expect(backend.requests[0]?.url).toContain("num_beams=3");
  expect(backend.requests[0]?.headers.get("x-caption-priority")).toBe("background");
  expect(counts).toMatchObject({ total: 60, generated: 1, cached: 59 });
  expect(fetched.sort()).toEqual(urls.sort());
  const [line] = await linesOf(edge, job.id);
  expect(line).toMatchObject({ caption: "a dog runs on the beach", alt: "A dog runs" });
  // Nobody near has asked for it yet: it lies where all locations find it.
  const found = await (await startKeyedEdge()).fetch(`/v1/captions/${await hashOf(picture)}?num_beams=3`);
  expect(found.headers.get("cache-status")).toBe("kv; hit");
});

test("a key may send only so many items of jobs per day; a job past that is refused as a whole, and may be sent again", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge({ variables: { JOB_ITEMS_A_DAY: "5" } });
  const send = (to: typeof edge, count: number, init = {}) =>
    postJob(to, ndjson(serve(count).map((url) => ({ url }))), init);
  const first = await jobOf(await send(edge, 3));
  const headers = { "idempotency-key": crypto.randomUUID() };
  const refused = await send(edge, 3, { headers });
  const { status, code, detail } = await problemOf(refused);
  expect({ status, code }).toEqual({ status: 429, code: "quota-exceeded" });
  expect(detail).toContain(
    "The job has 3 items, but of the 5 job items that a key may send per day, 2 are left.",
  );
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  const never = await problemOf(await send(edge, 6));
  expect(never).toMatchObject({ status: 413, code: "too-many-items" });
  const smaller = await jobOf(await send(edge, 2, { headers }));
  const another = await startKeyedEdge();
  const anothers = await jobOf(await send(another, 3));
  for (const [of, { id }] of [
    [edge, first],
    [edge, smaller],
    [another, anothers],
  ] as const) {
    expect(await ended(of, id)).toMatchObject({ status: "completed" });
  }
});

test("an address longer than any that is fetched is not kept", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const url = `https://media.example.com/?${"a".repeat(16_384)}`;
  const job = await jobOf(await postJob(edge, { items: [{ id: "long", url }] }));
  await ended(edge, job.id);
  expect(await linesOf(edge, job.id)).toMatchObject([
    {
      id: "long",
      problem: { code: "bad-request", detail: "item 0: url: expected at most 16384 characters" },
    },
  ]);
});

test("the same idempotency key finds the same job, of one API key; another body is refused", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const headers = { "idempotency-key": crypto.randomUUID() };
  const [url = "", other = ""] = serve(2);
  const first = await jobOf(await postJob(edge, ndjson([{ url }]), { headers }));
  const theirs = await jobOf(await postJob(await startKeyedEdge(), ndjson([{ url }]), { headers }));
  expect(theirs.id).not.toBe(first.id);
  const again = await postJob(edge, ndjson([{ url }]), { headers });
  expect(again.status).toBe(202);
  expect((await jobOf(again)).id).toBe(first.id);
  const reused = await postJob(edge, ndjson([{ url: other }]), { headers });
  expect([reused.status, (await problemOf(reused)).code]).toEqual([422, "idempotency-key-reused"]);
  const options = await postJob(edge, ndjson([{ url }]), { headers, query: "?num_beams=2" });
  expect(options.status).toBe(422);
  await ended(edge, first.id);
});

test("a request that is still being received is in progress, and one that breaks off leaves nothing", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge({ variables: { UPLOAD_TIMEOUT_MS: "3000" } });
  const headers = { "idempotency-key": crypto.randomUUID() };
  const [url = ""] = serve(1);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const slow = edge.fetch("/v1/jobs", {
    method: "POST",
    body: readable,
    headers: { "content-type": "application/x-ndjson", ...headers },
    duplex: "half",
  } as RequestInit);
  const writer = writable.getWriter();
  await writer.write(new TextEncoder().encode(ndjson([{ url }])));
  const meanwhile = await postJob(edge, ndjson([{ url }]), { headers });
  expect([meanwhile.status, (await problemOf(meanwhile)).code]).toEqual([409, "request-in-progress"]);
  expect(meanwhile.headers.get("retry-after")).toBe("5");
  expect((await slow).status).toBe(408);
  const retried = await postJob(edge, ndjson([{ url }]), { headers });
  expect(retried.status).toBe(202);
  await ended(edge, (await jobOf(retried)).id);
});

test.each([
  [
    "10,001 lines",
    ndjson(Array.from({ length: 10_001 }, () => ({ sha256: "0".repeat(64) }))),
    {},
    413,
    "too-many-items",
  ],
  ["blank lines without end", "\n".repeat(1_000_000), {}, 400, "bad-request"],
  ["no line", "\n\n", {}, 400, "empty-body"],
  [
    "an option that is none",
    ndjson([{ sha256: "0".repeat(64) }]),
    { query: "?num_beams=99" },
    400,
    "bad-options",
  ],
  [
    "another language",
    ndjson([{ sha256: "0".repeat(64) }]),
    { query: "?language=de" },
    400,
    "unsupported-language",
  ],
  ["a key with spaces", ndjson([{}]), { headers: { "idempotency-key": "a b" } }, 400, "bad-request"],
  ["a coded body", "x", { headers: { "content-encoding": "gzip" } }, 415, "unsupported-encoding"],
  ["a private webhook", ndjson([{}]), { query: "?webhook=http%3A%2F%2F10.0.0.1%2F" }, 403, "url-refused"],
  [
    "two webhooks, of which one would be told nothing",
    { items: [{ sha256: "0".repeat(64) }], webhook: "https://a.example.com/" },
    { query: "?webhook=https%3A%2F%2Fb.example.com%2F" },
    400,
    "bad-options",
  ],
])("refuses %s and keeps nothing", async (_what, body, init, status, code) => {
  const response = await postJob(await startKeyedEdge(), body, init);
  expect([response.status, (await problemOf(response)).code]).toEqual([status, code]);
});

test("an unknown id is not found, and creates no object", async () => {
  const edge = await startKeyedEdge();
  for (const path of ["", "/results", "/events"]) {
    for (const id of ["job_0", `job_${"0".repeat(32)}`]) {
      const response = await edge.fetch(`/v1/jobs/${id}${path}`);
      expect([response.status, (await problemOf(response)).code]).toEqual([404, "job-not-found"]);
    }
  }
});

test("CSV opens in a spreadsheet as text, whatever a caption or an id begins with", async () => {
  const backend = network().backend(CAPTIONER_HOST);
  backend.caption = '=cmd|"/c calc"!A1';
  const edge = await startKeyedEdge();
  const [url = ""] = serve(1);
  const job = await jobOf(
    await postJob(edge, ndjson([{ url, id: "@id, with comma", metadata: { a: [1] } }, { id: "bäd" }])),
  );
  await ended(edge, job.id);
  const response = await edge.fetch(`/v1/jobs/${job.id}/results?format=csv`);
  expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
    await response.arrayBuffer(),
  );
  const [head, first, second, rest] = text.split("\r\n");
  expect(head).toBe("\uFEFFindex,id,status,alt,caption,score,needs_review,sha256,problem,detail,metadata");
  expect(first).toMatch(
    /^0,"'@id, with comma",generated,"'=cmd\|""\/c calc""!A1","'=cmd\|""\/c calc""!A1",0\.71,false,[0-9a-f]{64},,,"\{""a"":\[1\]\}"$/,
  );
  expect(second).toMatch(/^1,bäd,error,,,,,,bad-request,"?line 2: /);
  expect(rest).toBe("");
  for (const [wrong, detail] of [
    ["format=xlsx", "format: expected one of ndjson, csv"],
    ["format=csv&format=ndjson", "format: expected one value, got several"],
    ["fromat=csv", 'there is no field "fromat"'],
  ]) {
    const response = await edge.fetch(`/v1/jobs/${job.id}/results?${wrong}`);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "bad-options", detail });
  }
});

test("results are CSV for a client that prefers it, and NDJSON for one that takes either", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, ndjson([{ id: "a" }])));
  await ended(edge, job.id);
  const typeFor = async (accept: string, query = "") => {
    const response = await edge.fetch(`/v1/jobs/${job.id}/results${query}`, { headers: { accept } });
    return response.headers.get("content-type");
  };
  expect(await typeFor("text/csv")).toBe("text/csv; charset=utf-8");
  expect(await typeFor("application/x-ndjson;q=0.5, Text/CSV")).toBe("text/csv; charset=utf-8");
  expect(await typeFor("text/csv", "?format=ndjson")).toBe("application/x-ndjson");
  // As generated clients write it: every type that the document names.
  expect(await typeFor("application/x-ndjson, text/csv, application/problem+json")).toBe(
    "application/x-ndjson",
  );
  expect(await typeFor("application/x-ndjson, text/csv;q=0.1")).toBe("application/x-ndjson");
  expect(await typeFor("application/json, text/csv;q=0, */*")).toBe("application/x-ndjson");
});

test("events tell of progress until the end", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, ndjson(serve(3).map((url) => ({ url })))));
  const response = await edge.fetchOnly(`/v1/jobs/${job.id}/events`);
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  expect(response.headers.get("x-accel-buffering")).toBe("no");
  const text = await response.text();
  expect(text.startsWith("event: progress\n")).toBe(true);
  const last = text.trim().split("\n\n").at(-1) ?? "";
  expect(last).toMatch(/^event: end\n/m);
  const data = /^data: (.*)$/m.exec(last)?.[1] ?? "";
  expect(JSON.parse(data)).toMatchObject({ status: "completed", counts: { generated: 3 } });
});

test("an EventSource, which reconnects when an answer ends, is told that nothing more comes after the last event", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const job = await jobOf(await postJob(edge, ndjson(serve(1).map((url) => ({ url })))));
  const follow = (lastEventId: string) =>
    edge.fetchOnly(`/v1/jobs/${job.id}/events`, { headers: { "last-event-id": lastEventId } });
  const text = await (await follow("")).text();
  const ids = [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
  expect(ids).toHaveLength(1);
  expect(text.trim().split("\n\n").at(-1)).toContain(`id: ${ids[0]}`);
  expect((await follow(ids[0] ?? "")).status).toBe(204);
  expect((await follow("another")).status).toBe(200);
});

test("a job of 2,000 items, a tenth of them damaged, ends with exact counts", async () => {
  network().backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const urls = serve(2_000);
  for (const url of urls.slice(0, 200)) network().pages.set(url, () => new Response("no picture"));
  const job = await jobOf(await postJob(edge, ndjson(urls.map((url) => ({ url })))));
  const { counts, status } = await ended(edge, job.id, 5 * PATIENCE_MS);
  expect({ counts, status }).toEqual({
    status: "completed",
    counts: { total: 2_000, waiting: 0, cached: 0, generated: 1_800, failed: 200, cancelled: 0 },
  });
  const lines = await linesOf(edge, job.id);
  expect(lines.map(({ index }) => index)).toEqual(Array.from({ length: 2_000 }, (_, i) => i));
});

test("messages that are not ours are acknowledged and dropped", async () => {
  await env.JOB_QUEUE.send({ rubbish: true } as never);
  const edge = await startKeyedEdge();
  expect((await edge.fetch("/healthz")).status).toBe(200);
});
