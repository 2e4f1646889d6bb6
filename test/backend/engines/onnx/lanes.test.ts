import { expect, test, vi } from "vitest";
import type { Engine } from "../../../../backend/engines/engine.ts";
import { withLanes } from "../../../../backend/engines/onnx/lanes.ts";
import { createFakeEngine } from "../../../support/fake-engine.ts";

const GREEDY = { maxNewTokens: 8, numBeams: 1, promptIds: [] };
const pixels = (batch: number) => new Uint8Array(batch * 3 * 16 * 16);

/** An engine with two lanes, and the batch sizes that `whole` and each lane have seen. */
function threeFakes() {
  const whole = createFakeEngine();
  const lanes = [createFakeEngine(), createFakeEngine()] as const;
  const openLanes = vi.fn<() => Promise<readonly Engine[]>>(async () => lanes);
  const engine = withLanes({ whole, openLanes, maxBatchSize: 8 });
  const generate = (batch: number) => engine.generate(pixels(batch), batch, GREEDY);
  const passes = () => [whole, ...lanes].map((fake) => fake.passes.map(({ batch }) => batch));
  return { whole, lanes, openLanes, engine, generate, passes };
}

test("lanes are opened once two full batches come one after the other", async () => {
  const { engine, openLanes, generate, passes } = threeFakes();
  for (const batch of [1, 8, 4, 8, 7]) await generate(batch);
  expect(engine.concurrency).toBe(1);
  expect(openLanes).not.toHaveBeenCalled();
  for (const batch of [8, 8, 8, 8]) await generate(batch);
  expect(openLanes).toHaveBeenCalledOnce();
  expect(engine.concurrency).toBe(2);
  expect(passes()).toEqual([[1, 8, 4, 8, 7, 8, 8], [], [8, 8]]);
});

test("a small batch that comes while nothing runs has all the cores", async () => {
  const { generate, passes } = threeFakes();
  for (const batch of [8, 8, 1, 4, 5]) await generate(batch);
  expect(passes()).toEqual([[8, 8, 1, 4], [], [5]]);
});

test("a crowd's batches run beside each other", async () => {
  const { whole, lanes, generate, passes } = threeFakes();
  for (const batch of [8, 8]) await generate(batch);
  for (const fake of [whole, ...lanes]) fake.hold();
  const crowd = [8, 2].map(generate);
  expect(passes()).toEqual([[8, 8], [2], [8]]);
  for (const lane of lanes) lane.release();
  await Promise.all(crowd);
  const lone = generate(1);
  const beside = generate(1);
  expect(passes()[0]).toEqual([8, 8, 1]);
  whole.release();
  await Promise.all([lone, beside]);
});

test("a pass that fails gives its lane back", async () => {
  const { lanes, generate, passes } = threeFakes();
  for (const batch of [8, 8]) await generate(batch);
  for (const lane of lanes) lane.failNext(new Error("out of memory"));
  const failed = await Promise.allSettled([8, 8].map(generate));
  expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await Promise.all([8, 8].map(generate));
  expect(passes()).toEqual([
    [8, 8],
    [8, 8],
    [8, 8],
  ]);
});

test("if lanes cannot be opened, everything goes on without them", async () => {
  const { engine, openLanes, generate, passes } = threeFakes();
  openLanes.mockRejectedValue(new Error("out of memory"));
  for (const batch of [8, 8, 8, 1]) await generate(batch);
  expect(openLanes).toHaveBeenCalledOnce();
  expect(engine.concurrency).toBe(1);
  expect(passes()).toEqual([[8, 8, 8, 1], [], []]);
});

test("closes all of them", async () => {
  const { whole, lanes, engine, generate } = threeFakes();
  for (const batch of [8, 8]) await generate(batch);
  await engine.close();
  expect([whole, ...lanes].map(({ closed }) => closed)).toEqual([true, true, true]);
});

test("if the whole engine is also a lane, it is never asked twice at once", async () => {
  const [whole, second] = [createFakeEngine(), createFakeEngine()];
  const opened = Promise.withResolvers<readonly Engine[]>();
  const engine = withLanes({ whole, openLanes: () => opened.promise, maxBatchSize: 8 });
  const generate = (batch: number) => engine.generate(pixels(batch), batch, GREEDY);
  await generate(8);
  whole.hold();
  const first = generate(8);
  opened.resolve([whole, second]);
  await vi.waitFor(() => expect(engine.concurrency).toBe(2));
  await generate(8);
  await generate(2);
  expect([whole, second].map(({ passes }) => passes.map(({ batch }) => batch))).toEqual([
    [8, 8],
    [8, 2],
  ]);
  whole.release();
  await first;
  second.hold();
  const other = generate(8);
  await generate(8);
  expect(whole.passes).toHaveLength(3);
  second.release();
  await other;
  await engine.close();
  expect([whole, second].map(({ closed }) => closed)).toEqual([true, true]);
});

test("batch sizes are those of the whole", () => {
  const whole = { ...createFakeEngine(), buckets: [1, 2, 4] };
  expect(withLanes({ whole, openLanes: async () => [], maxBatchSize: 4 }).buckets).toEqual([1, 2, 4]);
});
