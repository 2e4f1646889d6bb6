import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import type { CacheEntry } from "../../../worker/cache/entry.ts";
import { createKvTier } from "../../../worker/cache/kv.ts";

const CAPTION: CacheEntry = {
  kind: "caption",
  generated: { caption: "a dog", score: 1, model: { id: "m", revision: "r1" } },
};
const FAILURE: CacheEntry = { kind: "failure", failure: { code: "unreadable-image", detail: "x" } };
const YEAR_SECONDS = 365 * 24 * 3600;

test("a caption is kept for a year, and a refusal is not written: it would outlive the captioner's next version", async () => {
  const kv = createKvTier(env.CAPTIONS);
  await kv.write("tier/caption", CAPTION);
  await kv.write("tier/failure", FAILURE);
  const { keys } = await env.CAPTIONS.list({ prefix: "tier/" });
  expect(keys.map(({ name }) => name)).toEqual(["tier/caption"]);
  const lastsSeconds = (keys[0]?.expiration ?? 0) - Date.now() / 1000;
  expect(Math.abs(lastsSeconds - YEAR_SECONDS)).toBeLessThan(3600);
});

test("more keys than KV reads in one call are read in several, and rubbish among them is left out", async () => {
  const kv = createKvTier(env.CAPTIONS);
  const keys = Array.from({ length: 201 }, (_, i) => `many/${i}`);
  for (const i of [0, 99, 100, 200]) await kv.write(`many/${i}`, CAPTION);
  await env.CAPTIONS.put("many/1", "<html>");
  const found = await kv.readMany(keys);
  expect([...found.keys()].sort()).toEqual(["many/0", "many/100", "many/200", "many/99"]);
  expect((await kv.list("many/")).length).toBe(5);
});
