import { expect, test } from "vitest";
import { createMemoryTier } from "../../../worker/cache/memory.ts";

test("memory forgets the least recently used, and everything after its time", () => {
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
  time = 299_999;
  expect(memory.read("b")).toEqual(failure);
  expect(memory.read("c")).toBe(caption);
  time = 300_000;
  expect(memory.read("b")).toBeUndefined();
  expect(memory.read("c")).toBeUndefined();
});

test("memory forgets every key with the prefix", () => {
  const memory = createMemoryTier({ now: () => 0 });
  const failure = { kind: "failure", failure: { code: "not-an-image", detail: "x" } } as const;
  for (const key of ["a/1", "a/2", "ab/1"]) memory.write(key, failure);
  memory.forget("a/");
  expect(["a/1", "a/2", "ab/1"].map((key) => memory.read(key))).toEqual([undefined, undefined, failure]);
});
