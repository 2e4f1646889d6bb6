/** The triton engine against a real Triton server; install.sh says how to run it. */

import { describe, expect, onTestFinished, test } from "vitest";
import type { Bundle } from "../../backend/bundle/bundle.ts";
import { modelVersion } from "../../backend/bundle/triton-models.ts";
import type { DecodingOptions, Engine } from "../../backend/engines/engine.ts";
import { createOnnxEngine } from "../../backend/engines/onnx/engine.ts";
import { createTritonEngine, type TritonEngineOptions } from "../../backend/engines/triton/engine.ts";
import { openEmbeddedBundle } from "../../backend/model/embedded.ts";
import { writeTritonRepository } from "../../backend/model/triton/repository.ts";
import { temporaryFolder, tinyBundle } from "../support/tiny-blip.ts";
import { startTritonServer, type TritonServer } from "./triton-server.ts";

const GREEDY: DecodingOptions = { maxNewTokens: 20, numBeams: 1, promptIds: [] };
const WORDS: readonly number[] = [20, 143];

async function repositoryOf(...bundles: readonly Bundle[]): Promise<string> {
  const folder = await temporaryFolder();
  for (const bundle of bundles) {
    await writeTritonRepository({ bundle, folder, model: "captioner", device: "cpu" });
  }
  return folder;
}

async function engineOn(
  bundle: Bundle,
  servers: readonly TritonServer[],
  options: Partial<TritonEngineOptions> = {},
): Promise<Engine> {
  const endpoints = servers.map(({ endpoint }) => endpoint) as [string, ...string[]];
  const engine = await createTritonEngine({
    bundle,
    endpoints,
    model: "captioner",
    timeoutMs: 30_000,
    ...options,
  });
  onTestFinished(() => engine.close());
  return engine;
}

async function running(options: Partial<TritonEngineOptions> = {}) {
  const bundle = await openEmbeddedBundle();
  const repository = await repositoryOf(bundle);
  const server = await startTritonServer(repository);
  const warmUp = await server.runs();
  await server.forget();
  return { bundle, repository, server, warmUp, engine: await engineOn(bundle, [server], options) };
}

async function onnxEngine(bundle: Bundle): Promise<Engine> {
  const engine = await createOnnxEngine({ bundle, threads: 1 });
  onTestFinished(() => engine.close());
  return engine;
}

/** uint8 [rows, 3, size, size]; another picture for every seed and row. */
function noise({ manifest }: Bundle, rows: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: rows * 3 * manifest.image.size ** 2 }, () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const ids = (rows: readonly { tokenIds: readonly number[] }[]) => rows.map(({ tokenIds }) => tokenIds);
const port = ({ endpoint }: TritonServer) => Number(endpoint.split(":")[1]);

test("the repository is accepted as written and warmed up: one row, a full batch, beams after a prompt", async () => {
  const { bundle, warmUp } = await running();
  const version = modelVersion(bundle.manifest.revision);
  expect(warmUp).toHaveLength(3);
  expect(warmUp).toEqual(
    expect.arrayContaining([
      { model: "captioner", version, rows: [1] },
      { model: "captioner", version, rows: Array(32).fill(1) },
      { model: "captioner_unbatched", version, rows: [1] },
    ]),
  );
});

test("the tokens and probabilities of the onnx engine: greedy, beams, prompts, more rows than are batched", async () => {
  const { bundle, server, engine } = await running();
  const onnx = await onnxEngine(bundle);
  for (const [rows, options, model] of [
    [1, GREEDY, "captioner"],
    [8, GREEDY, "captioner"],
    [3, { ...GREEDY, maxNewTokens: 4 }, "captioner"],
    [33, { ...GREEDY, maxNewTokens: 2 }, "captioner_unbatched"],
    [2, { ...GREEDY, numBeams: 3 }, "captioner_unbatched"],
    [2, { ...GREEDY, promptIds: WORDS }, "captioner_unbatched"],
    [2, { ...GREEDY, numBeams: 2, promptIds: WORDS }, "captioner_unbatched"],
  ] as const) {
    await server.forget();
    const pixels = noise(bundle, rows);
    const answer = await engine.generate(pixels, rows, options);
    const expected = await onnx.generate(pixels, rows, options);
    expect(ids(answer)).toEqual(ids(expected));
    answer.forEach(({ logProbabilities }, row) => {
      logProbabilities.forEach((log, i) => {
        expect(Math.abs(log - (expected[row]?.logProbabilities[i] ?? 0))).toBeLessThan(1e-3);
      });
    });
    expect((await server.runs()).map((run) => [run.model, run.rows])).toEqual([[model, [rows]]]);
  }
});

test("requests that wait share a forward pass, and each gets what it would get alone", async () => {
  const { bundle, server, engine } = await running();
  const onnx = await onnxEngine(bundle);
  const asked = Array.from({ length: 24 }, (_, i) => ({
    rows: (i % 3) + 1,
    pixels: noise(bundle, (i % 3) + 1, i + 1),
    options: { ...GREEDY, maxNewTokens: (i % 12) + 1 },
  }));
  await server.slowDown(200);
  const answers = await Promise.all(
    asked.map(({ rows, pixels, options }) => engine.generate(pixels, rows, options)),
  );
  const runs = await server.runs();
  expect(runs.flatMap(({ rows }) => rows)).toHaveLength(asked.length);
  expect(runs.length).toBeLessThan(asked.length / 3);
  for (const [i, { rows, pixels, options }] of asked.entries()) {
    expect(ids(answers[i] ?? [])).toEqual(ids(await onnx.generate(pixels, rows, options)));
  }
});

test("requests with beams or prompts never share a forward pass", async () => {
  const { bundle, server, engine } = await running();
  const onnx = await onnxEngine(bundle);
  const asked = Array.from({ length: 12 }, (_, i) => ({
    pixels: noise(bundle, 1, i + 1),
    options: { maxNewTokens: 8, numBeams: (i % 3) + 1, promptIds: i % 2 === 0 ? WORDS : [] },
  }));
  await server.slowDown(50);
  const answers = await Promise.all(asked.map(({ pixels, options }) => engine.generate(pixels, 1, options)));
  for (const [i, { pixels, options }] of asked.entries()) {
    expect(ids(answers[i] ?? [])).toEqual(ids(await onnx.generate(pixels, 1, options)));
  }
  const shared = (await server.runs()).filter(({ rows }) => rows.length > 1);
  expect(shared.every(({ model }) => model === "captioner")).toBe(true);
});

describe("at start", () => {
  test("an unknown model, another revision and another picture size are told apart", async () => {
    const [bundle, adapted, larger] = await Promise.all([
      tinyBundle(),
      tinyBundle({ adapted: true }),
      tinyBundle({ imageSize: 64 }),
    ]);
    const server = await startTritonServer(await repositoryOf(bundle));
    await expect(engineOn(bundle, [server], { model: "other" })).rejects.toThrow(
      "unknown model: 'other' is not found",
    );
    await expect(engineOn(adapted, [server])).rejects.toThrow(
      `revision ${adapted.manifest.revision}; it has ${modelVersion(bundle.manifest.revision)}.`,
    );
    await expect(engineOn(larger, [server])).rejects.toMatchObject({ failure: "mismatch" });
  });

  test("two revisions side by side answer whoever asks for theirs", async () => {
    const bundles = await Promise.all([tinyBundle(), tinyBundle({ adapted: true })]);
    const server = await startTritonServer(await repositoryOf(...bundles));
    for (const bundle of bundles) {
      const [engine, onnx] = [await engineOn(bundle, [server]), await onnxEngine(bundle)];
      const pixels = noise(bundle, 4);
      expect(ids(await engine.generate(pixels, 4, GREEDY))).toEqual(
        ids(await onnx.generate(pixels, 4, GREEDY)),
      );
    }
  });
});

describe("when it goes wrong", () => {
  test("no answer before the deadline", async () => {
    const { bundle, server } = await running();
    const engine = await engineOn(bundle, [server], { timeoutMs: 500 });
    await server.slowDown(2000);
    const startedAt = performance.now();
    await expect(engine.generate(noise(bundle, 1), 1, GREEDY)).rejects.toMatchObject({ failure: "timeout" });
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });

  test("a request that is cancelled in the queue never reaches the model", async () => {
    const { bundle, server, engine } = await running();
    await server.slowDown(1000);
    const runs = engine.generate(noise(bundle, 1), 1, GREEDY);
    await expect.poll(async () => (await server.runs()).length).toBe(1);
    const gone = new AbortController();
    const waits = engine.generate(noise(bundle, 2), 2, GREEDY, gone.signal);
    const alsoWaits = engine.generate(noise(bundle, 3), 3, GREEDY);
    setTimeout(() => gone.abort(new Error("nobody waits")), 200);
    await expect(waits).rejects.toThrow("nobody waits");
    await Promise.all([runs, alsoWaits]);
    expect((await server.runs()).map(({ rows }) => rows)).toEqual([[1], [3]]);
  });

  test("a full queue is reported as overload", async () => {
    const bundle = await tinyBundle();
    const server = await startTritonServer(await repositoryOf(bundle));
    const engine = await engineOn(bundle, [server]);
    await server.slowDown(1000);
    const results = await Promise.allSettled(
      Array.from({ length: 320 }, () => engine.generate(noise(bundle, 1), 1, GREEDY)),
    );
    const failures = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason.failure] : [],
    );
    expect(failures.length).toBeGreaterThan(0);
    expect(new Set(failures)).toEqual(new Set(["overloaded"]));
  });

  test("a server that is killed under load and revived on its port answers again, by itself", async () => {
    const { bundle, repository, server, engine } = await running();
    await server.slowDown(300);
    const cutOff = Array.from({ length: 8 }, (_, i) =>
      engine.generate(noise(bundle, 1, i), 1, GREEDY).catch((error) => error.failure),
    );
    await expect.poll(async () => (await server.runs()).length).toBeGreaterThan(0);
    await server.signal("SIGKILL");
    expect(new Set(await Promise.all(cutOff))).toEqual(new Set(["unreachable"]));
    await startTritonServer(repository, port(server));
    await expect
      .poll(() => engine.generate(noise(bundle, 1), 1, GREEDY).catch(String), { timeout: 10_000 })
      .toHaveLength(1);
  });

  test.each(["SIGKILL", "SIGTERM"] as const)(
    "two servers, one gets %s under load: no answer is lost",
    async (signal) => {
      const { bundle, repository, server } = await running();
      const other = await startTritonServer(repository);
      await other.forget();
      const engine = await engineOn(bundle, [server, other]);
      await Promise.all([server.slowDown(100), other.slowDown(100)]);
      const expected = ids(await engine.generate(noise(bundle, 1), 1, GREEDY));
      const stopped = Promise.withResolvers<void>();
      const answers = Array.from({ length: 4 }, async () => {
        for (let i = 0; i < 15; i++) {
          expect(ids(await engine.generate(noise(bundle, 1), 1, GREEDY))).toEqual(expected);
          if (i === 4) void server.signal(signal).then(stopped.resolve);
        }
      });
      await Promise.all(answers);
      expect((await server.runs()).length).toBeGreaterThan(0);
      expect((await other.runs()).length).toBeGreaterThan((await server.runs()).length);
      await stopped.promise;
    },
  );

  test("a server that freezes is found out by keepalive, and its calls go to the other", async () => {
    const { bundle, repository, server } = await running();
    const other = await startTritonServer(repository);
    const engine = await engineOn(bundle, [server, other]);
    await server.signal("SIGSTOP");
    const startedAt = performance.now();
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => engine.generate(noise(bundle, 1), 1, GREEDY)),
    );
    expect(answers).toHaveLength(4);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  test("calls longer than the keepalive interval are not hung up on", async () => {
    const { bundle, server, engine } = await running();
    await server.slowDown(28_000);
    expect(await engine.generate(noise(bundle, 1), 1, GREEDY)).toHaveLength(1);
  });
});
