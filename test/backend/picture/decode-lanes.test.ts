import { expect, test } from "vitest";
import { createDecodeLanes } from "../../../backend/picture/decode-lanes.ts";

/** Jobs that end when told to; `running` names those that have begun and not ended. */
function harness(options: Parameters<typeof createDecodeLanes>[0]) {
  const lanes = createDecodeLanes(options);
  const running = new Map<string, () => void>();
  const start = (name: string, pixels: number) =>
    lanes.run(pixels, async () => {
      await new Promise<void>((resolve) => running.set(name, resolve));
      running.delete(name);
      return name;
    });
  const end = async (name: string) => {
    running.get(name)?.();
    await new Promise(setImmediate);
  };
  return { start, end, names: () => [...running.keys()] };
}

test("no more jobs at once than lanes, in order of arrival", async () => {
  const { start, end, names } = harness({ lanes: 2, maxPixels: 100 });
  const all = Promise.all(["a", "b", "c"].map((name) => start(name, 1)));
  await new Promise(setImmediate);
  expect(names()).toEqual(["a", "b"]);
  await end("a");
  expect(names()).toEqual(["b", "c"]);
  await end("b");
  await end("c");
  expect(await all).toEqual(["a", "b", "c"]);
});

test("a huge picture waits for room, keeps its place, and may be alone past the limit", async () => {
  const { start, end, names } = harness({ lanes: 3, maxPixels: 100 });
  void start("small", 30);
  void start("huge", 500);
  void start("later", 1);
  await new Promise(setImmediate);
  expect(names()).toEqual(["small"]);
  await end("small");
  expect(names()).toEqual(["huge"]);
  await end("huge");
  expect(names()).toEqual(["later"]);
  await end("later");
});

test("a job that throws gives its lane back", async () => {
  const lanes = createDecodeLanes({ lanes: 1, maxPixels: 10 });
  await expect(lanes.run(5, () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(await lanes.run(5, async () => "next")).toBe("next");
});
