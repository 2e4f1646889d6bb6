import { beforeEach, expect, test, vi } from "vitest";
import {
  type Captioner,
  type CaptionerOptions,
  createCaptioner,
} from "../../../backend/captioner/captioner.ts";
import { failure } from "../../../shared/result.ts";
import type { GenerationOptions } from "../../../shared/schema.ts";
import { createFakeEngine, type FakeEngine, fakeTokenizer } from "../../support/fake-engine.ts";
import { jpegPicture } from "../../support/pictures.ts";

let engine: FakeEngine;
let captioner: Captioner;

function start(options: Partial<CaptionerOptions> = {}): void {
  engine = createFakeEngine();
  captioner = createCaptioner({ engine, tokenizer: fakeTokenizer, ...options });
}

beforeEach(() => start());

async function words(...request: Parameters<Captioner["caption"]>) {
  const result = await captioner.caption(...request);
  if (!result.ok) throw new Error(`${result.failure.code}: ${result.failure.detail}`);
  return result.value;
}

test("the caption is the decoded tokens, its score the geometric mean of their probabilities", async () => {
  const answer = await words(await jpegPicture(200));
  const [red, green, blue] = answer.caption.split(" ").map(Number);
  expect(Math.abs((red ?? 0) - 300)).toBeLessThan(4);
  expect(green).toBeLessThan(104);
  expect(Math.abs((blue ?? 0) - 228)).toBeLessThan(4);
  expect(answer.score).toBeCloseTo(1 / 3, 6);
  expect(answer.source).toBe("generated");
  expect(Object.keys(answer.timings ?? {})).toEqual(["startedAtMs", "decodeMs", "queueMs", "inferenceMs"]);
});

test("pixels are given back once their forward pass has read them, even if it fails", async () => {
  const read: Uint8Array[] = [];
  start({ onPixelsRead: (pixels) => read.push(pixels) });
  await words(await jpegPicture(1));
  expect(read).toHaveLength(1);
  engine.generate = () => Promise.reject(new Error("no memory"));
  await expect(captioner.caption(await jpegPicture(2))).rejects.toThrow("no memory");
  expect(read).toHaveLength(2);
});

test("overflowed numbers are a failure, with the reason for the log, and are not remembered", async () => {
  const { generate } = engine;
  engine.generate = async (...call) =>
    (await generate(...call)).map((row) => ({
      ...row,
      logProbabilities: row.logProbabilities.map(() => Number.NaN),
    }));
  const picture = await jpegPicture();
  const refused = await captioner.caption(picture);
  expect(refused).toMatchObject({
    ok: false,
    failure: { code: "internal", reason: expect.stringContaining("NaN") },
  });
  engine.generate = generate;
  expect((await words(picture)).source).toBe("generated");
});

test("a prompt begins the caption and is not part of the score", async () => {
  const answer = await words(await jpegPicture(), { prompt: "a photograph of" });
  expect(answer.caption).toMatch(/^1001 1010 1002 /);
  expect(answer.score).toBeCloseTo(1 / 3, 6);
  expect(engine.passes[0]?.options.promptIds).toEqual([1001, 1010, 1002]);
});

test("a prompt with a word the model does not know is refused by that word, before a forward pass", async () => {
  const tokenizer = { ...fakeTokenizer, encodePrompt: () => ({ ids: [1001], unknown: ["犬"] }) };
  start({ tokenizer });
  const refused = await captioner.caption(await jpegPicture(), { prompt: "a 犬" });
  expect(refused).toMatchObject({
    ok: false,
    failure: { code: "bad-options", detail: 'prompt: the model does not know the word "犬".' },
  });
  expect(engine.passes).toEqual([]);
});

test("a prompt without any word is refused before a forward pass", async () => {
  start({ tokenizer: { ...fakeTokenizer, encodePrompt: () => ({ ids: [], unknown: [] }) } });
  const refused = await captioner.caption(await jpegPicture(), { prompt: " " });
  expect(refused).toMatchObject({
    ok: false,
    failure: { code: "bad-options", detail: "prompt: the model knows none of its words." },
  });
  expect(engine.passes).toEqual([]);
});

test("200 identical pictures at once are one forward pass", async () => {
  engine.hold();
  const picture = await jpegPicture(3);
  const answers = Array.from({ length: 200 }, () => words(Uint8Array.from(picture)));
  await engine.started(1);
  engine.release();
  const sources = (await Promise.all(answers)).map(({ source }) => source);
  expect(sources.filter((source) => source === "generated")).toHaveLength(1);
  expect(sources.filter((source) => source === "joined")).toHaveLength(199);
  expect(engine.passes).toHaveLength(1);
});

test("a person who asks for a picture that is already waiting in the background waits no longer than for another", async () => {
  start({ maxBatchSize: 1 });
  engine.hold();
  const order: string[] = [];
  const [current, ...queued] = await Promise.all([10, 20, 30, 40, 50].map((red) => jpegPicture(red)));
  const ask = async (picture: Uint8Array<ArrayBuffer> | undefined, name: string, isBackground: boolean) => {
    if (picture === undefined) return;
    await words(picture, {}, { isBackground });
    order.push(name);
  };
  const first = ask(current, "current", false);
  await engine.started(1);
  const behind = queued.map((picture, i) => ask(picture, `background ${i}`, true));
  await vi.waitFor(() => expect(captioner.queueDepth).toBe(4));
  const person = ask(queued.at(-1), "person", false);
  engine.release();
  await Promise.all([first, ...behind, person]);
  expect(order.slice(0, 3)).toEqual(["current", "background 3", "person"]);
  expect(engine.passes).toHaveLength(5);
});

test("the same picture with other options is another caption", async () => {
  const picture = await jpegPicture(3);
  await Promise.all([words(picture), words(picture, { max_new_tokens: 2 })]);
  expect(engine.passes.reduce((sum, { batch }) => sum + batch, 0)).toBe(2);
});

test("recent captions are remembered under content and options, and the oldest is forgotten", async () => {
  start({ recentCaptions: 2 });
  const [first, second, third] = await Promise.all([jpegPicture(1), jpegPicture(2), jpegPicture(3)]);
  const made = await words(first);
  const { caption, score, picture_score } = made;
  expect(await words(first)).toEqual({ caption, score, picture_score, source: "recent" });
  expect((await words(first, { max_new_tokens: 3 })).source).toBe("generated");
  await words(second);
  await words(third);
  expect((await words(first)).source).toBe("generated");
});

test("one of several callers leaves: the others get their caption, and it gets an answer at once", async () => {
  engine.hold();
  const picture = await jpegPicture(4);
  const leaving = new AbortController();
  const left = captioner.caption(picture, {}, { signal: leaving.signal });
  const stays = captioner.caption(picture);
  await engine.started(1);
  leaving.abort();
  expect(await left).toMatchObject({ ok: false, failure: { code: "deadline-exceeded" } });
  engine.release();
  expect(await stays).toMatchObject({ ok: true });
});

test("expired work is dropped before it costs a forward pass", async () => {
  engine.hold();
  const busy = captioner.caption(await jpegPicture(1));
  await engine.started(1);
  const expired = captioner.caption(await jpegPicture(2), {}, { signal: AbortSignal.timeout(20) });
  expect(await expired).toMatchObject({ ok: false, failure: { code: "deadline-exceeded" } });
  engine.release();
  await busy;
  expect((await words(await jpegPicture(3))).source).toBe("generated");
  expect(engine.passes.flatMap(({ colours }) => colours.map((colour) => colour[0]))).toHaveLength(2);
});

test("a picture abandoned by its last caller is made anew for the next one", async () => {
  engine.hold();
  const busy = captioner.caption(await jpegPicture(1));
  await engine.started(1);
  const picture = await jpegPicture(2);
  await captioner.caption(picture, {}, { signal: AbortSignal.timeout(20) });
  const again = captioner.caption(picture);
  engine.release();
  await busy;
  expect(await again).toMatchObject({ ok: true, value: { source: "generated" } });
});

test("one bad picture among others fails alone", async () => {
  const good = await Promise.all([1, 2, 3].map((seed) => jpegPicture(seed)));
  const damaged = (await jpegPicture(9)).slice(0, 200);
  engine.hold();
  const results = Promise.all([...good, damaged].map((picture) => captioner.caption(picture)));
  await engine.started(1);
  engine.release();
  expect((await results).map(({ ok }) => ok)).toEqual([true, true, true, false]);
});

test("an engine failure reaches its callers as a bug and is not remembered", async () => {
  start({ recentCaptions: 9 });
  const picture = await jpegPicture(1);
  engine.failNext(new Error("device lost"));
  await expect(captioner.caption(picture)).rejects.toThrow("device lost");
  expect((await words(picture)).source).toBe("generated");
});

test("more tokens than the model has positions are reduced to those; a longer prompt is refused", async () => {
  const picture = await jpegPicture(1);
  await words(picture, { prompt: "a b c", max_new_tokens: 50 });
  expect(engine.passes[0]?.options.maxNewTokens).toBe(24 - 1 - 3);
  const tooLong = await captioner.caption(picture, { prompt: "a ".repeat(23).trim() });
  expect(tooLong).toMatchObject({ ok: false, failure: { code: "bad-options" } });
});

const OPTIONS: Required<GenerationOptions> = { prompt: "a b", max_new_tokens: 4, num_beams: 4 };

test.each(Object.entries(OPTIONS))(
  "%s reaches the engine, and has a caption of its own",
  async (name, value) => {
    start({ recentCaptions: 9 });
    const picture = await jpegPicture(1);
    await words(picture);
    expect((await words(picture, { [name]: value })).source).toBe("generated");
    const [without, given] = engine.passes.map(({ options }) => options);
    expect(given).not.toEqual(without);
  },
);

test("warm-up runs the smallest and the largest batch", async () => {
  start({ maxBatchSize: 6 });
  await captioner.warmUp();
  expect(engine.passes.map(({ batch }) => batch)).toEqual([1, 6]);
});

test("warm-up decodes in every lane at once, and fails if no picture can be decoded", async () => {
  let atOnce = 0;
  start({
    decodeLanes: 3,
    startDecoder: () => ({
      isFit: true,
      async decode() {
        atOnce += 1;
        await expect.poll(() => atOnce).toBe(3);
        return failure("decode-timeout", "Decoding took more than 10 s.");
      },
      end() {},
    }),
  });
  await expect(captioner.warmUp()).rejects.toThrow("Decoding took more than 10 s.");
});

test("says until when a picture's bytes are in use, even to a caller that has left", async () => {
  engine.hold();
  const busy = captioner.caption(await jpegPicture(1));
  await engine.started(1);
  const inUse: Promise<unknown>[] = [];
  const onBytesInUse = (until: Promise<unknown>) => inUse.push(until);
  const picture = await jpegPicture(2);
  const leaving = new AbortController();
  const left = captioner.caption(picture, {}, { signal: leaving.signal, onBytesInUse });
  const joins = captioner.caption(picture, {}, { onBytesInUse });
  await new Promise((resolve) => setTimeout(resolve, 50));
  leaving.abort();
  await left;
  let isOver = false;
  void inUse[0]?.then(() => {
    isOver = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(inUse).toHaveLength(1);
  expect(isOver).toBe(false);
  engine.release();
  await Promise.all([busy, joins, inUse[0]]);
  expect(isOver).toBe(true);
});

test("it is not ready while no decoder can be started, or while the engine's servers cannot be reached", async () => {
  expect(await captioner.unreadiness()).toBeUndefined();
  engine.isReachable = async () => false;
  expect(await captioner.unreadiness()).toMatchObject({ detail: expect.stringContaining("server") });
  const isFit = false;
  start({ startDecoder: () => ({ isFit, decode: async () => "ended", end() {} }) });
  expect(await captioner.unreadiness()).toMatchObject({ detail: expect.stringContaining("decoded") });
});
