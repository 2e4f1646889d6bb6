import { afterEach, expect, test, vi } from "vitest";
import { createCaptionClient } from "../../client/index.ts";
import { fakeNetwork } from "./support/backends.ts";
import { startEdge } from "./support/edge.ts";
import { CAPTIONER_HOST, servePictures, startKeyedEdge } from "./support/jobs.ts";
import { newPicture } from "./support/pictures.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

test("our client runs in a Worker too, from the upload to the batch", async () => {
  const backend = fakeNetwork().backend("backend-a.test");
  const edge = startEdge();
  const client = createCaptionClient({
    baseUrl: "https://edge.test",
    fetch: (input, init) => edge.fetch(String(input).replace("https://edge.test", ""), init),
  });
  const picture = newPicture();
  expect(await client.caption(picture)).toMatchObject({ alt: "A dog runs on the beach", cached: false });
  const { sha256 } = await client.caption(picture);
  const lines = [];
  for await (const line of client.batch([{ sha256 }])) lines.push(line);
  expect(lines).toMatchObject([{ index: 0, status: "cached", sha256 }]);
  expect(backend.requests).toHaveLength(1);
});

test("jobs from the client: made, followed, read, and made once for one idempotency key", async () => {
  const network = fakeNetwork();
  network.backend(CAPTIONER_HOST);
  const edge = await startKeyedEdge();
  const client = createCaptionClient({
    baseUrl: "https://edge.test",
    fetch: (input, init) => edge.fetch(String(input).replace("https://edge.test", ""), init),
  });
  const items = servePictures(network, 3).map((url, i) => ({ url, id: `picture ${i}` }));
  const idempotencyKey = crypto.randomUUID();
  const job = await client.jobs.create(items, { idempotencyKey, max_length: 40 });
  expect((await client.jobs.create(items, { idempotencyKey, max_length: 40 })).id).toBe(job.id);
  const done = await client.jobs.wait(job.id);
  expect(done).toMatchObject({ status: "completed", counts: { total: 3, generated: 3 } });
  const ids = [];
  for await (const line of client.jobs.results(job.id)) ids.push(line.id);
  expect(ids).toEqual(["picture 0", "picture 1", "picture 2"]);
  expect((await client.jobs.cancel(job.id)).status).toBe("completed");
  await expect(client.jobs.get(`job_${"0".repeat(32)}`)).rejects.toMatchObject({
    problem: { code: "job-not-found" },
  });
});
