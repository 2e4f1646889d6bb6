import { beforeEach, expect, test } from "vitest";
import { createDecodeQueue, type DecodeQueue } from "../../../backend/picture/decode-queue.ts";
import type { Decoder, LostDecoder } from "../../../backend/picture/decoder.ts";
import type { InspectedPicture } from "../../../backend/picture/inspect.ts";
import { failure, type Result, success } from "../../../shared/result.ts";

const MIB = 1024 * 1024;
const TURN_MS = 100;
/** Of tests in which nobody's turn is over, however long they take. */
const HOUR_MS = 3_600_000;
const NEVER = { signal: new AbortController().signal, isBackground: false };

type Ending = Result<Uint8Array> | LostDecoder | "ended";

/** Names of the pictures that decode now, and how to end each. */
let running: Map<string, (result: Ending) => void>;
let begun: string[];
let decoders: number;

beforeEach(() => {
  running = new Map();
  begun = [];
  decoders = 0;
});

/** Decodes until it is told to stop. */
function fakeDecoder(): Decoder {
  decoders += 1;
  let isFit = true;
  let now: string | undefined;
  return {
    get isFit() {
      return isFit;
    },
    async decode(picture) {
      now = nameOf(picture);
      begun.push(now);
      const { promise, resolve } = Promise.withResolvers<Ending>();
      running.set(now, resolve);
      const result = await promise;
      running.delete(now);
      now = undefined;
      return result;
    },
    end() {
      isFit = false;
      if (now !== undefined) running.get(now)?.("ended");
    },
  };
}

const nameOf = ({ bytes }: InspectedPicture) => Buffer.from(bytes).toString();

function picture(name: string, decodeMib = 1): InspectedPicture {
  const bytes = Uint8Array.from(Buffer.from(name));
  return { bytes, format: "PNG", width: 1, height: 1, decodeBytes: decodeMib * MIB };
}

const queueOf = (lanes: number, turnMs = HOUR_MS) =>
  createDecodeQueue({ lanes, memoryBytes: 100 * MIB, turnMs, startDecoder: fakeDecoder });

/** Asks for pictures of so many MiB, in this order. */
function decodeLarge(queue: DecodeQueue, mibOf: Readonly<Record<string, number>>): void {
  for (const [name, mib] of Object.entries(mibOf)) void queue.decode(picture(name, mib), NEVER);
}

const settled = () => new Promise(setImmediate);
const turnOver = () => new Promise((resolve) => setTimeout(resolve, 2 * TURN_MS));

async function finish(name: string): Promise<void> {
  running.get(name)?.(success(new Uint8Array()));
  await settled();
}

test("no more pictures at once than lanes, in order of arrival, on the same decoders", async () => {
  const queue = queueOf(2);
  for (const name of ["a", "b", "c"]) void queue.decode(picture(name), NEVER);
  expect([...running.keys()]).toEqual(["a", "b"]);
  await finish("a");
  expect([...running.keys()]).toEqual(["b", "c"]);
  expect(decoders).toBe(2);
});

test("a picture that somebody waits for begins before those of the background", async () => {
  const queue = queueOf(1);
  const background = { ...NEVER, isBackground: true };
  void queue.decode(picture("running"), background);
  for (const name of ["behind 1", "behind 2"]) void queue.decode(picture(name), background);
  for (const name of ["urgent 1", "urgent 2"]) void queue.decode(picture(name), NEVER);
  const order = ["running", "urgent 1", "urgent 2", "behind 1", "behind 2"];
  for (const name of order) await finish(name);
  expect(begun).toEqual(order);
});

test("a background picture moves up when somebody begins to wait for it", async () => {
  const queue = queueOf(1);
  const background = { ...NEVER, isBackground: true };
  const joined = { ...background };
  void queue.decode(picture("running"), background);
  for (const name of ["behind 1", "behind 2"]) void queue.decode(picture(name), background);
  void queue.decode(picture("joined"), joined);
  joined.isBackground = false;
  for (const name of ["running", "joined", "behind 1", "behind 2"]) await finish(name);
  expect(begun).toEqual(["running", "joined", "behind 1", "behind 2"]);
});

test("large pictures share the memory, keep their order among themselves, and let small ones pass", async () => {
  const queue = queueOf(4);
  decodeLarge(queue, { large: 60, second: 60, third: 33, small: 1 });
  expect([...running.keys()]).toEqual(["large", "small"]);
  await finish("large");
  expect([...running.keys()]).toEqual(["small", "second", "third"]);
});

test("a large picture gives back its own memory, and not that of others", async () => {
  const queue = queueOf(4);
  decodeLarge(queue, { large: 60, second: 33, third: 80 });
  await finish("second");
  expect([...running.keys()]).toEqual(["large"]);
  await finish("large");
  expect([...running.keys()]).toEqual(["third"]);
});

test("a picture that needs more than all of the memory decodes when it is the only large one", async () => {
  const queue = queueOf(2);
  void queue.decode(picture("huge", 101), NEVER);
  expect([...running.keys()]).toEqual(["huge"]);
});

test("a slow picture keeps its lane while nobody waits, and makes way for whoever does", async () => {
  const queue = queueOf(1, TURN_MS);
  const slow = queue.decode(picture("slow"), NEVER);
  await turnOver();
  expect([...running.keys()]).toEqual(["slow"]);
  const quick = queue.decode(picture("quick"), NEVER);
  expect([...running.keys()]).toEqual(["slow", "quick"]);
  await finish("quick");
  await finish("slow");
  expect([(await slow).ok, (await quick).ok]).toEqual([true, true]);
});

test("slow pictures past the room beside the lanes are stopped, and begin again later", async () => {
  const queue = queueOf(1, TURN_MS);
  const answers = ["slow 1", "slow 2"].map((name) => queue.decode(picture(name), NEVER));
  await turnOver();
  expect([...running.keys()]).toEqual(["slow 1", "slow 2"]);
  await turnOver();
  void queue.decode(picture("quick"), NEVER);
  await settled();
  expect([...running.keys()]).toEqual(["slow 1", "quick"]);
  await finish("slow 1");
  expect([...running.keys()]).toEqual(["quick", "slow 2"]);
  await finish("slow 2");
  expect((await Promise.all(answers)).map(({ ok }) => ok)).toEqual([true, true]);
  expect(begun).toEqual(["slow 1", "slow 2", "quick", "slow 2"]);
});

test("a caller that leaves is answered at once, and their picture never begins", async () => {
  const queue = queueOf(1);
  void queue.decode(picture("busy"), NEVER);
  const leaving = new AbortController();
  const left = queue.decode(picture("left"), { ...NEVER, signal: leaving.signal });
  leaving.abort();
  expect(await left).toMatchObject({ ok: false, failure: { code: "deadline-exceeded" } });
  await finish("busy");
  expect(begun).toEqual(["busy"]);
});

test("a slow picture that nobody waits for any more is stopped for good", async () => {
  const queue = queueOf(1, TURN_MS);
  const leaving = new AbortController();
  const slow = queue.decode(picture("slow"), { ...NEVER, signal: leaving.signal });
  await turnOver();
  void queue.decode(picture("quick"), NEVER);
  leaving.abort();
  await settled();
  expect((await slow).ok).toBe(false);
  expect([...running.keys()]).toEqual(["quick"]);
});

test("a decoder that was ended is replaced before the next picture", async () => {
  const queue = queueOf(1, TURN_MS);
  void queue.decode(picture("a"), NEVER);
  await turnOver();
  void queue.decode(picture("b"), NEVER);
  await finish("b");
  await finish("a");
  void queue.decode(picture("c"), NEVER);
  expect([...running.keys()]).toEqual(["c"]);
});

test("a picture whose decoder is lost begins once more, since others may be at fault, and then fails with its reason", async () => {
  const queue = queueOf(1);
  const lost = { lost: failure("too-costly", "It took the machine's memory.") };
  const [once, twice] = ["once", "twice"].map((name) => queue.decode(picture(name), NEVER));
  for (const name of ["once", "twice"]) {
    running.get(name)?.(lost);
    await settled();
    if (name === "once") await finish(name);
  }
  expect(await once).toMatchObject({ ok: true });
  expect([...running.keys()]).toEqual(["twice"]);
  running.get("twice")?.(lost);
  expect(await twice).toBe(lost.lost);
  expect(begun).toEqual(["once", "twice", "once", "twice"]);
});

test("once it is closed, nothing replaces the decoders that it ended", async () => {
  const queue = queueOf(2);
  void queue.decode(picture("a"), NEVER);
  queue.close();
  await settled();
  expect(decoders).toBe(2);
});

test("it is ready while a decoder runs, works or can be started", async () => {
  const queue = queueOf(2);
  expect(queue.isReady()).toBe(true);
  for (const name of ["a", "b"]) void queue.decode(picture(name), NEVER);
  expect(queue.isReady()).toBe(true);
  expect(decoders).toBe(2);
});

test("without a decoder it is not ready, and is again once one can be started", () => {
  let canStart = false;
  const startDecoder = () => {
    const decoder = fakeDecoder();
    if (!canStart) decoder.end();
    return decoder;
  };
  const queue = createDecodeQueue({ lanes: 2, memoryBytes: 100 * MIB, turnMs: HOUR_MS, startDecoder });
  expect(queue.isReady()).toBe(false);
  expect(decoders).toBe(3);
  canStart = true;
  expect(queue.isReady()).toBe(true);
  expect(queue.isReady()).toBe(true);
  expect(decoders).toBe(4);
});
