import { afterEach, expect, test, vi } from "vitest";
import { createCaptionClient } from "../../client/index.ts";
import { fakeNetwork } from "./support/backends.ts";
import { startEdge } from "./support/edge.ts";
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
