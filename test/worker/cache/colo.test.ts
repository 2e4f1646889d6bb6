import { expect, test } from "vitest";
import { createColoTier } from "../../../worker/cache/colo.ts";
import type { CacheEntry } from "../../../worker/cache/entry.ts";

const CAPTION: CacheEntry = {
  kind: "caption",
  generated: { caption: "a dog", score: 1, model: { id: "m", revision: "r1" } },
};
const FAILURE: CacheEntry = { kind: "failure", failure: { code: "unreadable-image", detail: "x" } };

test("a location keeps a caption for 15 minutes and a refusal for 5: docs/how-it-works.md and the time to forget say so", async () => {
  const kept: (string | null)[] = [];
  const put = async (_url: string, response: Response) => {
    kept.push(response.headers.get("cache-control"));
  };
  const colo = createColoTier(async () => ({ put }) as unknown as Cache);
  await colo.write("a", CAPTION);
  await colo.write("b", FAILURE);
  expect(kept).toEqual(["public, max-age=900", "public, max-age=300"]);
});
