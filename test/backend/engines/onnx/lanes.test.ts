import { copyFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Engine } from "../../../../backend/engines/engine.ts";
import { createCpuEngine, withLanes } from "../../../../backend/engines/onnx/lanes.ts";
import { createThreadedOnnxEngine } from "../../../../backend/engines/onnx/threaded.ts";
import { createFakeEngine } from "../../../support/fake-engine.ts";
import { temporaryFolder, tinyBundle } from "../../../support/tiny-blip.ts";

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

test("where lanes cannot be opened everything goes on without them", async () => {
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
  const noise = (batch: number) =>
    new Uint8Array(batch * 3 * size * size).map((_, i) => ((i + batch) * 7919) % 251);
  for (let pass = 0; pass < 2; pass++) await cpu.generate(noise(4), 4, GREEDY);
  await vi.waitFor(() => expect(cpu.concurrency).toBe(3), 10_000);
  const batches = [4, 3, 4];
  const together = await Promise.all(batches.map((batch) => cpu.generate(noise(batch), batch, GREEDY)));
  for (const [i, batch] of batches.entries()) {
    expect(together[i]).toEqual(await one.generate(noise(batch), batch, GREEDY));
  }
});

test("a bundle that was written over the one it serves does not answer in its name", async () => {
  const [bundle, other] = [await tinyBundle(), await tinyBundle({ adapted: true })];
  const { size } = bundle.manifest.image;
  const engine = await createCpuEngine({ bundle, threads: 2, maxBatchSize: 1 });
  await copyFile(other.graphPath, bundle.graphPath);
  for (let pass = 0; pass < 2; pass++) await engine.generate(new Uint8Array(3 * size * size), 1, GREEDY);
  // Lanes that are being opened are waited for.
  await engine.close();
  expect(engine.concurrency).toBe(1);
});

test("weights that are large are held once", async () => {
  const bundle = await tinyBundle();
  const { size } = bundle.manifest.image;
  const graphPath = path.join(await temporaryFolder(), "model.onnx");
  await copyFile(bundle.graphPath, graphPath);
  await writeFile(`${graphPath}.data`, "");
  await truncate(`${graphPath}.data`, 200 * 1024 * 1024);
  const engine = await createCpuEngine({ bundle: { ...bundle, graphPath }, threads: 2, maxBatchSize: 1 });
  for (let pass = 0; pass < 3; pass++) await engine.generate(new Uint8Array(3 * size * size), 1, GREEDY);
  await engine.close();
  expect(engine.concurrency).toBe(1);
});
