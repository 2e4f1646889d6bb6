import { copyFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createCpuEngine } from "../../../../backend/engines/onnx/cpu-engine.ts";
import { createThreadedOnnxEngine } from "../../../../backend/engines/onnx/threaded.ts";
import { temporaryFolder, tinyBundle } from "../../../support/tiny-blip.ts";

const GREEDY = { maxNewTokens: 8, numBeams: 1, promptIds: [] };

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
  await expect.poll(() => cpu.concurrency).toBe(3);
  const batches = [4, 3, 4];
  const together = await Promise.all(batches.map((batch) => cpu.generate(noise(batch), batch, GREEDY)));
  for (const [i, batch] of batches.entries()) {
    expect(together[i]).toEqual(await one.generate(noise(batch), batch, GREEDY));
  }
});

test("a bundle that was written over the served one does not answer in its place", async () => {
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
