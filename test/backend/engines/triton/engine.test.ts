import { status } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Bundle } from "../../../../backend/bundle/bundle.ts";
import { modelVersion } from "../../../../backend/bundle/triton-models.ts";
import type { DecodingOptions, Engine } from "../../../../backend/engines/engine.ts";
import { createOnnxEngine } from "../../../../backend/engines/onnx/engine.ts";
import { createTritonEngine, type TritonEngineOptions } from "../../../../backend/engines/triton/engine.ts";
import { writeTritonRepository } from "../../../../backend/model/triton/repository.ts";
import { readTinyReference, temporaryFolder, tinyBundle } from "../../../support/tiny-blip.ts";
import { startTritonStandIn, type TritonStandIn } from "../../../support/triton-stand-in.ts";

const { base } = readTinyReference();
const GREEDY: DecodingOptions = { maxNewTokens: 10, numBeams: 1, promptIds: [] };

async function repositoryOf(bundle: Bundle): Promise<string> {
  const folder = await temporaryFolder();
  await writeTritonRepository({ bundle, folder, model: "captioner", device: "cpu" });
  return folder;
}

async function start(repository: string, port?: number): Promise<TritonStandIn> {
  const server = await startTritonStandIn(repository, port);
  onTestFinished(() => server.kill());
  return server;
}

async function engineOn(
  bundle: Bundle,
  servers: readonly { endpoint: string }[],
  options: Partial<TritonEngineOptions> = {},
): Promise<Engine> {
  const [first, ...others] = servers.map(({ endpoint }) => endpoint);
  if (first === undefined) throw new Error("A test wants a server.");
  const endpoints: [string, ...string[]] = [first, ...others];
  const engine = await createTritonEngine({
    bundle,
    endpoints,
    model: "captioner",
    timeoutMs: 60_000,
    ...options,
  });
  onTestFinished(() => engine.close());
  return engine;
}

async function running(servers = 1, options: Partial<TritonEngineOptions> = {}) {
  const bundle = await tinyBundle();
  const repository = await repositoryOf(bundle);
  const started = await Promise.all(Array.from({ length: servers }, () => start(repository)));
  const [server] = started as [TritonStandIn];
  return { bundle, repository, servers: started, server, engine: await engineOn(bundle, started, options) };
}

const portOf = ({ endpoint }: TritonStandIn) => Number(endpoint.split(":")[1]);

/** [rows, 3, size, size] */
/** In shared memory, as the batcher has them. */
function noise(rows: number): Uint8Array {
  const pixels = new Uint8Array(new SharedArrayBuffer((rows * base.pixels.length) / base.shape[0]));
  for (let i = 0; i < pixels.length; i++) pixels[i] = (i * 7919) % 251;
  return pixels;
}

describe("answers what the onnx engine answers", () => {
  test.each<[string, number, DecodingOptions, string]>([
    ["greedy", 3, GREEDY, "captioner"],
    ["greedy, cut short", 2, { ...GREEDY, maxNewTokens: 2 }, "captioner"],
    ["more rows than Triton batches", 33, { ...GREEDY, maxNewTokens: 4 }, "captioner_unbatched"],
    ["beams", 2, { ...GREEDY, numBeams: 3 }, "captioner_unbatched"],
    ["a prompt", 2, { ...GREEDY, promptIds: base.prompt_ids }, "captioner_unbatched"],
    [
      "beams after a prompt",
      2,
      { ...GREEDY, numBeams: 2, promptIds: base.prompt_ids },
      "captioner_unbatched",
    ],
  ])("%s", async (_, rows, options, model) => {
    const { bundle, server, engine } = await running();
    const onnx = await createOnnxEngine({ bundle, threads: 1 });
    onTestFinished(() => onnx.close());
    const pixels = noise(rows);
    const [answer, expected] = [
      await engine.generate(pixels, rows, options),
      await onnx.generate(pixels, rows, options),
    ];
    expect(answer.map(({ tokenIds }) => tokenIds)).toEqual(expected.map(({ tokenIds }) => tokenIds));
    answer.forEach(({ logProbabilities }, row) => {
      logProbabilities.forEach((log, i) => {
        expect(log).toBeCloseTo(expected[row]?.logProbabilities[i] ?? Number.NaN, 4);
      });
    });
    expect(server.calls).toEqual([{ model, rows }]);
  });

  test("rows that another request made longer are cut", async () => {
    const { server, engine } = await running();
    const [whole] = await engine.generate(noise(1), 1, GREEDY);
    server.change = (answer) => {
      const { shape } = answer.outputs[0] as { shape: number[] };
      const steps = (shape[1] ?? 0) + 1;
      for (const output of answer.outputs) output.shape = [1, steps];
      answer.rawOutputContents = answer.rawOutputContents.map((bytes, i) =>
        Buffer.concat([bytes, Buffer.alloc(i === 0 ? 8 : 4)]),
      );
    };
    const maxNewTokens = 3;
    const [cut] = await engine.generate(noise(1), 1, { ...GREEDY, maxNewTokens });
    expect(cut?.tokenIds).toEqual(whole?.tokenIds.slice(0, maxNewTokens));
    expect(cut?.logProbabilities).toHaveLength(cut?.tokenIds.length ?? -1);
  });

  test("wrong pixels are a bug", async () => {
    const { engine } = await running();
    await expect(engine.generate(noise(2), 1, GREEDY)).rejects.toThrow("This is a bug");
  });
});

describe("at start", () => {
  test("a server that is not there is named", async () => {
    const bundle = await tinyBundle();
    await expect(engineOn(bundle, [{ endpoint: "127.0.0.1:1" }])).rejects.toMatchObject({
      name: "TritonError",
      failure: "unreachable",
      message: expect.stringMatching(/^Triton at 127\.0\.0\.1:1: not reachable; is it running\?/),
    });
  });

  test("one of two servers may be missing", async () => {
    const bundle = await tinyBundle();
    const server = await start(await repositoryOf(bundle));
    const engine = await engineOn(bundle, [{ endpoint: "127.0.0.1:1" }, server]);
    expect(engine.concurrency).toBe(4);
    for (let i = 0; i < 4; i++) expect(await engine.generate(noise(1), 1, GREEDY)).toHaveLength(1);
  });

  test("a model that is not loaded is named", async () => {
    const bundle = await tinyBundle();
    const server = await start(await repositoryOf(bundle));
    await expect(engineOn(bundle, [server], { model: "other" })).rejects.toMatchObject({
      failure: "not-loaded",
      message: expect.stringContaining("unknown model: 'other' is not found"),
    });
  });

  test("another revision is refused, on one server of two as well", async () => {
    const [bundle, adapted] = [await tinyBundle(), await tinyBundle({ adapted: true })];
    const right = await start(await repositoryOf(bundle));
    const wrong = await start(await repositoryOf(adapted));
    const { revision } = bundle.manifest;
    await expect(engineOn(bundle, [right, wrong])).rejects.toMatchObject({
      failure: "not-loaded",
      endpoint: wrong.endpoint,
      message: expect.stringContaining(
        `has no version ${modelVersion(revision)} ready, which is this bundle's revision ${revision}; it has ${modelVersion(adapted.manifest.revision)}. Write the bundle`,
      ),
    });
  });

  test("two revisions side by side answer whoever asks for theirs", async () => {
    const [bundle, adapted] = [await tinyBundle(), await tinyBundle({ adapted: true })];
    const repository = await repositoryOf(bundle);
    await writeTritonRepository({ bundle: adapted, folder: repository, model: "captioner", device: "cpu" });
    const server = await start(repository);
    for (const one of [bundle, adapted]) {
      const onnx = await createOnnxEngine({ bundle: one, threads: 1 });
      onTestFinished(() => onnx.close());
      const engine = await engineOn(one, [server]);
      const [answer] = await engine.generate(noise(1), 1, GREEDY);
      const [expected] = await onnx.generate(noise(1), 1, GREEDY);
      expect(answer?.tokenIds).toEqual(expected?.tokenIds);
    }
  });

  test("another picture size is a mismatch that names the port", async () => {
    const [bundle, larger] = [await tinyBundle(), await tinyBundle({ imageSize: 64 })];
    const server = await start(await repositoryOf(larger));
    const { size } = bundle.manifest.image;
    await expect(engineOn(bundle, [server])).rejects.toMatchObject({
      failure: "mismatch",
      message: expect.stringContaining(
        `model 'captioner' is not this bundle's: among its inputs, 'pixels' is UINT8 [-1, 3, 64, 64], expected UINT8 [-1, 3, ${size}, ${size}].`,
      ),
    });
  });

  test("a server that is still loading is not ready", async () => {
    const bundle = await tinyBundle();
    const server = await start(await repositoryOf(bundle));
    server.ready = false;
    await expect(engineOn(bundle, [server])).rejects.toThrow("not ready yet");
  });
});

describe("when it goes wrong", () => {
  test("no answer before the deadline: the call is cancelled on the server and rejects", async () => {
    const { server, engine } = await running(1, { timeoutMs: 2_000 });
    server.hold();
    await expect(engine.generate(noise(1), 1, GREEDY)).rejects.toMatchObject({ failure: "timeout" });
    await expect.poll(() => server.cancelled).toBe(1);
    server.release();
  });

  test("a caller that has gone cancels the call on the server", async () => {
    const { server, engine } = await running();
    server.hold();
    const gone = new AbortController();
    const answer = engine.generate(noise(1), 1, GREEDY, gone.signal);
    await server.called(1);
    gone.abort(new Error("nobody waits"));
    await expect(answer).rejects.toThrow("nobody waits");
    await expect.poll(() => server.cancelled).toBe(1);
    server.release();
    expect(await engine.generate(noise(1), 1, GREEDY)).toHaveLength(1);
  });

  test("a caller that had gone before costs no call", async () => {
    const { server, engine } = await running();
    await expect(engine.generate(noise(1), 1, GREEDY, AbortSignal.abort())).rejects.toThrow();
    expect(server.calls).toEqual([]);
  });

  test("a server that is killed and comes back on its port is found again", async () => {
    const { repository, server, engine } = await running();
    server.hold();
    const cutOff = engine.generate(noise(1), 1, GREEDY);
    await server.called(1);
    await Promise.all([expect(cutOff).rejects.toMatchObject({ failure: "unreachable" }), server.kill()]);
    await expect(engine.generate(noise(1), 1, GREEDY)).rejects.toMatchObject({ failure: "unreachable" });
    await start(repository, portOf(server));
    await expect
      .poll(() => engine.generate(noise(1), 1, GREEDY).catch(String), { timeout: 60_000 })
      .toHaveLength(1);
  });

  test("it is reachable while one of its servers has this revision of the model", async () => {
    const { servers, engine } = await running(2);
    const [first, second] = servers as [TritonStandIn, TritonStandIn];
    await first.kill();
    expect(await engine.isReachable?.()).toBe(true);
    await second.kill();
    expect(await engine.isReachable?.()).toBe(false);
    await start(await repositoryOf(await tinyBundle({ adapted: true })), portOf(first));
    await start(await repositoryOf(await tinyBundle()), portOf(second));
    await expect.poll(() => engine.isReachable?.(), { timeout: 60_000 }).toBe(true);
  });

  test("a server that comes back with another revision answers nothing", async () => {
    const { server, engine } = await running();
    await server.kill();
    await start(await repositoryOf(await tinyBundle({ adapted: true })), portOf(server));
    await expect
      .poll(() => engine.generate(noise(1), 1, GREEDY).catch((error) => error.failure), { timeout: 60_000 })
      .toBe("not-loaded");
    expect(await engine.isReachable?.()).toBe(false);
  });

  test("two servers share the work, and one that is killed under load loses no answer", async () => {
    const { servers, repository, engine } = await running(2);
    const [first, second] = servers as [TritonStandIn, TritonStandIn];
    const work = Array.from({ length: 60 }, async (_, i) => {
      if (i === 30) await first.kill();
      return engine.generate(noise(1), 1, GREEDY);
    });
    const answers = await Promise.all(work);
    expect(new Set(answers.map((rows) => JSON.stringify(rows))).size).toBe(1);
    expect(second.calls.length).toBeGreaterThan(20);
    const revived = await start(repository, portOf(first));
    await expect
      .poll(
        async () => {
          await engine.generate(noise(1), 1, GREEDY);
          return revived.calls.length;
        },
        { timeout: 60_000 },
      )
      .toBeGreaterThan(0);
  });

  test.each([
    [status.INVALID_ARGUMENT, "unexpected shape", "refused"],
    [status.RESOURCE_EXHAUSTED, "too many", "overloaded"],
    [status.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size", "overloaded"],
    [status.UNAVAILABLE, "[request id: 1] Request timeout expired", "overloaded"],
    [status.INTERNAL, "onnx runtime error 6", "failed"],
  ])("status %i, %s, is reported as it is and not tried elsewhere", async (code, details, failure) => {
    const { servers, engine } = await running(2);
    for (const server of servers) server.failWith = { code, details };
    await expect(engine.generate(noise(1), 1, GREEDY)).rejects.toMatchObject({
      failure,
      message: expect.stringContaining(details),
    });
    expect(servers.flatMap(({ calls }) => calls)).toHaveLength(1);
  });

  test("an unloaded revision, which Triton reports as UNAVAILABLE, is recognized", async () => {
    const { servers, engine } = await running(1);
    const details = "Request for unknown model: 'caption' version 7 is not at ready state";
    for (const server of servers) server.failWith = { code: status.UNAVAILABLE, details };
    await expect(engine.generate(noise(1), 1, GREEDY)).rejects.toMatchObject({
      failure: "not-loaded",
      message: expect.stringContaining(details),
    });
  });

  test.each<[string, TritonStandIn["change"], string]>([
    [
      "another version's answer",
      (answer) => {
        answer.modelVersion = "7";
      },
      "version 7 answered",
    ],
    [
      "a missing output",
      (answer) => {
        answer.outputs.pop();
        answer.rawOutputContents.pop();
      },
      "'log_probabilities' is missing",
    ],
    [
      "another type",
      (answer) => {
        for (const output of answer.outputs) output.datatype = "FP64";
      },
      "'token_ids' is FP64",
    ],
    [
      "fewer bytes than its shape",
      (answer) => {
        answer.rawOutputContents = answer.rawOutputContents.map(() => Buffer.alloc(0));
      },
      "in 0 bytes",
    ],
    [
      "another number of rows",
      (answer) => {
        for (const output of answer.outputs) output.shape = [2, ...output.shape.slice(1)];
      },
      "expected INT64 [1, steps]",
    ],
    [
      "fewer contents than outputs",
      (answer) => {
        answer.rawOutputContents.pop();
      },
      "as many raw contents as outputs",
    ],
  ])("%s is refused", async (_, change, message) => {
    const { server, engine } = await running();
    server.change = change;
    await expect(engine.generate(noise(1), 1, GREEDY)).rejects.toMatchObject({
      failure: "bad-answer",
      message: expect.stringContaining(message),
    });
  });
});
