import { expect, test } from "vitest";
import { createMemoryTier } from "../../../worker/cache/memory.ts";

test("memory forgets the least recently used, and failures after their time", () => {
  let time = 0;
  const memory = createMemoryTier({ now: () => time, maxEntries: 2 });
  const failure = { kind: "failure", failure: { code: "not-an-image", detail: "x" } } as const;
  const caption = {
    kind: "caption",
    generated: { caption: "a", score: 1, model: { id: "m", revision: "r" } },
  } as const;
  memory.write("a", caption);
  memory.write("b", failure);
  expect(memory.read("a")).toBe(caption);
  memory.write("c", caption);
  expect(memory.read("b")).toBeUndefined();
  memory.write("b", failure);
  time = 300_000;
  expect(memory.read("b")).toBeUndefined();
  expect(memory.read("c")).toBe(caption);
});
