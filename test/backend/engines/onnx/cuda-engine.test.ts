import { expect, onTestFinished, test } from "vitest";
import { createCudaEngine } from "../../../../backend/engines/onnx/cuda-engine.ts";
import { createThreadedOnnxEngine } from "../../../../backend/engines/onnx/threaded.ts";
import { tinyBundle } from "../../../support/tiny-blip.ts";

const GREEDY = { maxNewTokens: 8, numBeams: 1, promptIds: [] };

// On the CPU, as no machine of the tests has a GPU: what is beside each other there are threads of this process as well.
test("a crowd's batches run two at once, with the same answers as one by one", async () => {
  const bundle = await tinyBundle();
  const { size } = bundle.manifest.image;
  const [engine, one] = await Promise.all([
    createCudaEngine({ bundle, threads: 1, maxBatchSize: 4 }),
    createThreadedOnnxEngine({ bundle, threads: 1 }),
  ]);
  onTestFinished(async () => {
    await Promise.all([engine.close(), one.close()]);
  });
  const noise = (batch: number) =>
    new Uint8Array(batch * 3 * size * size).map((_, i) => ((i + batch) * 7919) % 251);
  expect(engine.concurrency).toBe(1);
  for (let pass = 0; pass < 2; pass++) await engine.generate(noise(4), 4, GREEDY);
  await expect.poll(() => engine.concurrency).toBe(2);
  const together = await Promise.all([4, 3].map((batch) => engine.generate(noise(batch), batch, GREEDY)));
  expect(together).toEqual([
    await one.generate(noise(4), 4, GREEDY),
    await one.generate(noise(3), 3, GREEDY),
  ]);
});
