import { beforeEach, expect, test, vi } from "vitest";
import { type Batcher, createBatcher, type ForwardPass } from "../../../backend/captioner/batcher.ts";
import type { DecodingOptions } from "../../../backend/engines/engine.ts";
import { createFakeEngine, type FakeEngine } from "../../support/fake-engine.ts";

const GREEDY: DecodingOptions = { maxNewTokens: 10, numBeams: 1, promptIds: [] };
const NEVER = new AbortController().signal;

let engine: FakeEngine;
let batcher: Batcher;
let forwardPasses: ForwardPass[];

beforeEach(() => {
  engine = createFakeEngine();
  forwardPasses = [];
  batcher = createBatcher({ engine, maxBatchSize: 4, onForwardPass: (pass) => forwardPasses.push(pass) });
});

const flat = (value: number) => new Uint8Array(3 * 16 * 16).fill(value);

function submit(value: number, decoding = GREEDY, signal = NEVER) {
  return batcher.submit({ pixels: flat(value), decoding, demand: { signal, isBackground: false } });
}

async function tokens(result: ReturnType<typeof submit>): Promise<readonly number[]> {
  const row = await result;
  if (!row.ok) throw new Error(row.failure.code);
  return row.value.tokenIds;
}

test("a lone picture runs at once, alone", async () => {
  expect(await tokens(submit(7))).toEqual([107, 107, 107, 2]);
  expect(engine.passes.map(({ batch }) => batch)).toEqual([1]);
});

test("what arrives during a pass shares the next one, up to the cap, and every row gets its own answer", async () => {
  engine.hold();
  const results = [0, 1, 2, 3, 4, 5, 6].map((value) => tokens(submit(value)));
  await engine.started(1);
  expect(batcher.queueDepth).toBe(6);
  engine.release();
  expect((await Promise.all(results)).map(([first]) => first)).toEqual([100, 101, 102, 103, 104, 105, 106]);
  expect(engine.passes.map(({ batch }) => batch)).toEqual([1, 4, 2]);
  expect(forwardPasses.map(({ batchSize }) => batchSize)).toEqual([1, 4, 2]);
  expect(batcher.queueDepth).toBe(0);
});

test("a picture that nobody waits for costs no forward pass", async () => {
  engine.hold();
  const first = submit(1);
  const gone = new AbortController();
  const abandoned = submit(2, GREEDY, gone.signal);
  const last = submit(3);
  await engine.started(1);
  gone.abort();
  engine.release();
  expect(await abandoned).toMatchObject({ ok: false, failure: { code: "deadline-exceeded" } });
  await Promise.all([first, last]);
  expect(engine.passes.map(({ colours }) => colours)).toEqual([["1,1,1"], ["3,3,3"]]);
});

test("pictures with another prompt wait for their own pass, and none of them starves", async () => {
  engine.hold();
  const prompted = { ...GREEDY, promptIds: [1004] };
  const results = [submit(0), submit(1), submit(2, prompted), submit(3), submit(4, prompted)];
  await engine.started(1);
  engine.release();
  await Promise.all(results);
  expect(engine.passes.map(({ colours }) => colours)).toEqual([
    ["0,0,0"],
    ["1,1,1", "3,3,3"],
    ["2,2,2", "4,4,4"],
  ]);
  expect(engine.passes.map(({ options }) => options.promptIds)).toEqual([[], [], [1004]]);
});

test("greedy rows of different lengths share a pass, and each is cut to its own", async () => {
  engine.hold();
  const blocker = submit(0);
  const short = tokens(submit(5, { ...GREEDY, maxNewTokens: 2 }));
  const long = tokens(submit(6, { ...GREEDY, maxNewTokens: 9 }));
  await engine.started(1);
  engine.release();
  await blocker;
  expect(await short).toEqual([105, 105]);
  expect(await long).toEqual([106, 106, 106, 2]);
  expect(engine.passes[1]?.options.maxNewTokens).toBe(9);
  expect(engine.passes).toHaveLength(2);
});

test("beams of different lengths do not share a pass: a longer search may end differently", async () => {
  engine.hold();
  const beams = { ...GREEDY, numBeams: 3 };
  const results = [
    submit(0),
    submit(1, { ...beams, maxNewTokens: 5 }),
    submit(2, { ...beams, maxNewTokens: 6 }),
  ];
  await engine.started(1);
  engine.release();
  await Promise.all(results);
  expect(engine.passes.map(({ batch }) => batch)).toEqual([1, 1, 1]);
});

test("an engine that throws fails its batch and not the next", async () => {
  engine.hold();
  engine.failNext(new Error("out of memory"));
  const failed = submit(1);
  const next = submit(2);
  await engine.started(1);
  engine.release();
  await expect(failed).rejects.toThrow("out of memory");
  expect(await tokens(next)).toEqual([102, 102, 102, 2]);
});

test("an engine that takes two batches at once gets two", async () => {
  engine = createFakeEngine({ concurrency: 2 });
  batcher = createBatcher({ engine, maxBatchSize: 4 });
  engine.hold();
  const results = [0, 1, 2, 3].map((value) => tokens(submit(value)));
  await engine.started(2);
  expect(batcher.queueDepth).toBe(2);
  engine.release();
  await Promise.all(results);
  expect(engine.passes.map(({ batch }) => batch)).toEqual([1, 1, 2]);
});

test("a pass is told to stop once nobody waits for any of its pictures, and not before", async () => {
  engine.hold();
  const callers = [0, 1, 2].map(() => new AbortController());
  const results = callers.map(({ signal }, value) => submit(value, GREEDY, signal));
  await engine.started(1);
  engine.releaseOne();
  await engine.started(2);
  const second = engine.passes[1]?.signal;
  callers[1]?.abort();
  expect(second?.aborted).toBe(false);
  callers[2]?.abort();
  expect(second?.aborted).toBe(true);
  engine.release();
  await Promise.all(results);
});

test("the backlog is the time for what waits, at the pace of the last passes", async () => {
  expect(batcher.backlogSeconds).toBe(0);
  await tokens(submit(1));
  engine.hold();
  const results = [0, 1, 2].map((value) => tokens(submit(value)));
  await engine.started(2);
  const [pass] = forwardPasses;
  expect(batcher.backlogSeconds).toBeCloseTo(2 * (pass?.seconds ?? Number.NaN), 10);
  engine.release();
  await Promise.all(results);
});

test("pictures that somebody waits for go before those of the background", async () => {
  engine.hold();
  const first = submit(0);
  await engine.started(1);
  const background = [1, 2, 3, 4, 5].map((value) =>
    tokens(
      batcher.submit({
        pixels: flat(value),
        decoding: GREEDY,
        demand: { signal: NEVER, isBackground: true },
      }),
    ),
  );
  const waitedFor = [tokens(submit(6)), tokens(submit(7))];
  engine.release();
  await Promise.all([first, ...background, ...waitedFor]);
  expect(engine.passes.map(({ colours }) => colours)).toEqual([
    ["0,0,0"],
    ["6,6,6", "7,7,7"],
    ["1,1,1", "2,2,2", "3,3,3", "4,4,4"],
    ["5,5,5"],
  ]);
});

test("background passes are short while people are about, and full once nobody has been for a while", async () => {
  const MS_A_PICTURE = 40;
  let now = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
  const batcher = createBatcher({
    engine: {
      ...engine,
      async generate(pixels, batch, options) {
        now += MS_A_PICTURE * batch;
        return engine.generate(pixels, batch, options);
      },
    },
    maxBatchSize: 4,
  });
  const run = (isBackground: boolean, count: number) =>
    Promise.all(
      Array.from({ length: count }, () =>
        tokens(
          batcher.submit({ pixels: flat(1), decoding: GREEDY, demand: { signal: NEVER, isBackground } }),
        ),
      ),
    );
  await run(true, 9);
  await run(false, 1);
  await run(true, 5);
  // Who left before their turn makes no pass of the background longer.
  const running = run(true, 1);
  const behind = run(true, 3);
  const left = batcher.submit({
    pixels: flat(1),
    decoding: GREEDY,
    demand: { signal: AbortSignal.abort(), isBackground: false },
  });
  await Promise.all([running, behind, left]);
  now += 31_000;
  await run(true, 5);
  expect(engine.passes.map(({ batch }) => batch)).toEqual([
    ...[1, 4, 4],
    1,
    ...[1, 2, 2],
    ...[1, 2, 1],
    ...[1, 4],
  ]);
  clock.mockRestore();
});

test("one of several simultaneous passes is left to people while they are about", async () => {
  let now = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
  const engine = createFakeEngine({ concurrency: 2 });
  const batcher = createBatcher({ engine, maxBatchSize: 4 });
  const submit = (value: number, isBackground: boolean) =>
    tokens(
      batcher.submit({ pixels: flat(value), decoding: GREEDY, demand: { signal: NEVER, isBackground } }),
    );
  const begun = () => engine.passes.map(({ colours }) => colours[0]);
  await submit(0, false);
  engine.hold();
  const passes = [submit(1, true), submit(2, true)];
  expect(begun()).toEqual(["0,0,0", "1,1,1"]);
  passes.push(submit(3, false));
  expect(begun()).toEqual(["0,0,0", "1,1,1", "3,3,3"]);
  engine.release();
  await Promise.all(passes);
  now += 31_000;
  engine.hold();
  passes.push(submit(4, true), submit(5, true));
  expect(begun().slice(-2)).toEqual(["4,4,4", "5,5,5"]);
  engine.release();
  await Promise.all(passes);
  clock.mockRestore();
});
