import { expect, onTestFinished, test } from "vitest";
import { createCpuEngine, withLanes } from "../../../../backend/engines/onnx/lanes.ts";
import { createThreadedOnnxEngine } from "../../../../backend/engines/onnx/threaded.ts";
import { createFakeEngine } from "../../../support/fake-engine.ts";
import { tinyBundle } from "../../../support/tiny-blip.ts";

const GREEDY = { maxNewTokens: 8, numBeams: 1, promptIds: [] };
const pixels = (batch: number) => new Uint8Array(batch * 3 * 16 * 16);

function threeFakes() {
  const whole = createFakeEngine();
  const lanes = [createFakeEngine(), createFakeEngine()] as const;
  const engine = withLanes({ whole, lanes, maxBatchSize: 8 });
  const passes = () => [whole, ...lanes].map((fake) => fake.passes.map(({ batch }) => batch));
  return { whole, lanes, engine, passes };
}

test("a lone picture has all the cores", async () => {
  const { engine, passes } = threeFakes();
  await engine.generate(pixels(1), 1, GREEDY);
  await engine.generate(pixels(4), 4, GREEDY);
  expect(passes()).toEqual([[1, 4], [], []]);
});

test("a crowd's batches run beside each other", async () => {
  const { whole, lanes, engine, passes } = threeFakes();
  expect(engine.concurrency).toBe(2);
  for (const fake of [whole, ...lanes]) fake.hold();
  const full = engine.generate(pixels(8), 8, GREEDY);
  const second = engine.generate(pixels(2), 2, GREEDY);
  expect(passes()).toEqual([[], [2], [8]]);
  for (const fake of lanes) fake.release();
  await Promise.all([full, second]);
  const lone = engine.generate(pixels(1), 1, GREEDY);
  const beside = engine.generate(pixels(1), 1, GREEDY);
  expect(passes()[0]).toEqual([1]);
  whole.release();
  await Promise.all([lone, beside]);
  expect(passes().flat()).toHaveLength(4);
});

test("a pass that fails gives its lane back", async () => {
  const { lanes, engine, passes } = threeFakes();
  const crowd = () => [8, 8].map((batch) => engine.generate(pixels(batch), batch, GREEDY));
  for (const lane of lanes) lane.failNext(new Error("out of memory"));
  const failed = await Promise.allSettled(crowd());
  expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await Promise.all(crowd());
  expect(passes()).toEqual([[], [8, 8], [8, 8]]);
});

test("closes all of them", async () => {
  const { whole, lanes, engine } = threeFakes();
  await engine.close();
  expect([whole, ...lanes].map(({ closed }) => closed)).toEqual([true, true, true]);
});

test("lanes answer what one engine answers", async () => {
  const bundle = await tinyBundle();
  const { size } = bundle.manifest.image;
  const [cpu, one] = await Promise.all([
    createCpuEngine({ bundle, threads: 3, maxBatchSize: 4 }),
    createThreadedOnnxEngine({ bundle, threads: 2 }),
  ]);
  onTestFinished(async () => {
    await Promise.all([cpu.close(), one.close()]);
  });
  expect(cpu.concurrency).toBe(3);
  const batches = [1, 4, 3, 4].map((batch, n) => ({
    batch,
    pixels: new Uint8Array(batch * 3 * size * size).map((_, i) => ((i + n) * 7919) % 251),
  }));
  const together = await Promise.all(
    batches.slice(1).map((call) => cpu.generate(call.pixels, call.batch, GREEDY)),
  );
  for (const [i, call] of batches.slice(1).entries()) {
    expect(together[i]).toEqual(await one.generate(call.pixels, call.batch, GREEDY));
  }
});

test("one thread is one engine", async () => {
  const bundle = await tinyBundle();
  const engine = await createCpuEngine({ bundle, threads: 1, maxBatchSize: 8 });
  expect(engine.concurrency).toBe(1);
  await engine.close();
});
