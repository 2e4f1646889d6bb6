import { expect, onTestFinished, test } from "vitest";
import { createOnnxEngine } from "../../../../backend/engines/onnx/engine.ts";
import { createThreadedOnnxEngine, restThreads } from "../../../../backend/engines/onnx/threaded.ts";
import { tinyBundle } from "../../../support/tiny-blip.ts";

const GREEDY = { maxNewTokens: 8, numBeams: 1, promptIds: [] };

/** In shared memory, as the batcher has them. */
function noise(length: number): Uint8Array {
  const pixels = new Uint8Array(new SharedArrayBuffer(length));
  for (let i = 0; i < length; i++) pixels[i] = (i * 7919) % 251;
  return pixels;
}

test("answers what the engine on the caller's thread answers, call after call", async () => {
  const bundle = await tinyBundle();
  const { size } = bundle.manifest.image;
  const [threaded, direct] = await Promise.all([
    createThreadedOnnxEngine({ bundle, threads: 1 }),
    createOnnxEngine({ bundle, threads: 1 }),
  ]);
  onTestFinished(async () => {
    await Promise.all([threaded.close(), direct.close()]);
  });
  for (const batch of [1, 3]) {
    const pixels = noise(batch * 3 * size * size);
    expect(await threaded.generate(pixels, batch, GREEDY)).toEqual(
      await direct.generate(pixels, batch, GREEDY),
    );
  }
});

test("a call that fails rejects, and the next one is answered", async () => {
  const bundle = await tinyBundle();
  const { size } = bundle.manifest.image;
  const engine = await createThreadedOnnxEngine({ bundle, threads: 1 });
  await expect(engine.generate(noise(5), 1, GREEDY)).rejects.toThrow("This is a bug");
  expect(await engine.generate(noise(3 * size * size), 1, GREEDY)).toHaveLength(1);
  await engine.close();
});

test("a graph that cannot be loaded rejects", async () => {
  const bundle = await tinyBundle();
  await expect(
    createThreadedOnnxEngine({ bundle: { ...bundle, graphPath: "/nowhere.onnx" } }),
  ).rejects.toThrow();
});

// The last one: no thread of this process computes any more.
test("threads that load or compute are waited for, and start nothing more", async () => {
  const bundle = await tinyBundle();
  const { size } = bundle.manifest.image;
  const pixels = noise(3 * size * size);
  const engine = await createThreadedOnnxEngine({ bundle, threads: 1 });
  const isDone = { loading: false, computing: false };
  const loading = createThreadedOnnxEngine({ bundle, threads: 1 }).finally(() => {
    isDone.loading = true;
  });
  void engine.generate(pixels, 1, GREEDY).finally(() => {
    isDone.computing = true;
  });
  await restThreads();
  // What came of them is told a few turns after them.
  await new Promise(setImmediate);
  expect(isDone).toEqual({ loading: true, computing: true });
  const next = engine.generate(pixels, 1, GREEDY).then(() => "begun");
  // The thread answers in turn: it would have answered the call before it closes.
  expect(await Promise.race([next, engine.close().then(() => "at rest")])).toBe("at rest");
  await (await loading).close();
});
