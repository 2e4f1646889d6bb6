/**
 * Groups pictures into forward passes. There is no waiting window: the next batch fills while the last one runs, so
 * a lone picture never waits and a crowd is batched. No HTTP, no picture files, no ONNX.
 *
 * Urgent pictures, which somebody waits for, go before background ones and never share a pass with them. While
 * people are about, background passes are short and, if the engine runs several passes at once, leave one place
 * free.
 */

import { failure, type Result, success } from "../../shared/result.ts";
import type { DecodingOptions, Engine, TokenSequence } from "../engines/engine.ts";
import { type Demand, inTurn } from "../picture/demand.ts";

export interface BatcherOptions {
  readonly engine: Engine;
  /** Most pictures in one forward pass. */
  readonly maxBatchSize: number;
  /** Called after every forward pass. */
  readonly onForwardPass?: (pass: ForwardPass) => void;
}

export interface ForwardPass {
  readonly batchSize: number;
  readonly seconds: number;
}

export interface Submission {
  readonly pixels: Uint8Array; // [3, size, size]
  readonly decoding: DecodingOptions;
  readonly demand: Demand;
}

export interface BatchedSequence extends TokenSequence {
  readonly queueMs: number;
  readonly inferenceMs: number;
  readonly batchSize: number;
}

export interface Batcher {
  /**
   * Queues one picture. Fails with `deadline-exceeded` if its signal aborts before its forward pass begins; rejects if
   * the engine throws, which fails the batch but not the ones after it.
   */
  submit(submission: Submission): Promise<Result<BatchedSequence>>;
  /** Pictures waiting for a forward pass. */
  readonly queueDepth: number;
  /** Seconds that the waiting pictures will keep the engine busy, judged by its latest forward passes. */
  readonly backlogSeconds: number;
}

/** Longest background pass while people are about, because a person who asks meanwhile may have to wait for it. */
const SHORT_PASS_MS = 100;
/** People count as about if one of them asked within this time. */
const PEOPLE_ABOUT_MS = 30_000;
/** Weight of the newest forward pass in the moving average. */
const NEWEST = 0.2;

interface Entry extends Submission {
  readonly group: string;
  readonly queuedAt: number;
  readonly settle: PromiseWithResolvers<Result<BatchedSequence>>;
}

/** Runs up to `engine.concurrency` passes at once, so nothing else may call the same engine. */
export function createBatcher({ engine, maxBatchSize, onForwardPass }: BatcherOptions): Batcher {
  let queue: Entry[] = [];
  /** Memory of finished batches, kept for reuse. */
  const spare: Uint8Array[] = [];
  let running = 0;
  let secondsAPicture = 0;
  let lastUrgentAt = Number.NEGATIVE_INFINITY;

  async function runUntilEmpty(): Promise<void> {
    running += 1;
    for (let batch = takeBatch(); batch.length > 0; batch = takeBatch()) await runBatch(batch);
    running -= 1;
  }

  /** The picture whose turn it is, and those after it that can share its forward pass. */
  function takeBatch(): Entry[] {
    const batch: Entry[] = [];
    const rest: Entry[] = [];
    if (queue.some(isUrgent)) lastUrgentAt = performance.now();
    for (const entry of inTurn(queue)) {
      if (entry.demand.signal.aborted) {
        entry.settle.resolve(failure("deadline-exceeded", "Nobody waits for this caption any more."));
      } else if (hasRoom(batch, entry)) {
        batch.push(entry);
      } else {
        rest.push(entry);
      }
    }
    queue = rest;
    return batch;
  }

  /** The first entry of a batch decides which others may share it and how large it may become. */
  function hasRoom(batch: readonly Entry[], entry: Entry): boolean {
    const [first = entry] = batch;
    if (!isUrgent(first) && isKeptFree()) return false;
    return batch.length < (isUrgent(first) ? maxBatchSize : backgroundSize()) && mayShare(first, entry);
  }

  /** Whether the pass about to begin would take the last of several places while people are about, who may need it. */
  function isKeptFree(): boolean {
    return engine.concurrency > 1 && running === engine.concurrency && arePeopleAbout();
  }

  const arePeopleAbout = () => performance.now() - lastUrgentAt <= PEOPLE_ABOUT_MS;

  function backgroundSize(): number {
    if (!arePeopleAbout() || secondsAPicture === 0) return maxBatchSize;
    return Math.min(maxBatchSize, Math.max(1, Math.floor(SHORT_PASS_MS / 1000 / secondsAPicture)));
  }

  async function runBatch(batch: readonly Entry[]): Promise<void> {
    const startedAt = performance.now();
    const memory = spare.pop() ?? batchMemory(maxBatchSize * oldestOf(batch).pixels.length);
    try {
      const sequences = await engine.generate(
        stack(batch, memory),
        batch.length,
        sharedDecoding(batch),
        allAborted(batch.map(({ demand }) => demand.signal)),
      );
      const inferenceMs = performance.now() - startedAt;
      const seconds = inferenceMs / 1000 / batch.length;
      secondsAPicture = secondsAPicture === 0 ? seconds : (1 - NEWEST) * secondsAPicture + NEWEST * seconds;
      onForwardPass?.({ batchSize: batch.length, seconds: inferenceMs / 1000 });
      batch.forEach((entry, row) => {
        const sequence = sequences[row];
        if (sequence === undefined)
          throw new Error(`This is a bug: the engine left out row ${row} of its batch.`);
        const { maxNewTokens } = entry.decoding;
        const { tokenIds, logProbabilities, ...of } = sequence;
        entry.settle.resolve(
          success({
            ...of,
            tokenIds: tokenIds.slice(0, maxNewTokens),
            logProbabilities: logProbabilities.slice(0, maxNewTokens),
            queueMs: startedAt - entry.queuedAt,
            inferenceMs,
            batchSize: batch.length,
          }),
        );
      });
    } catch (error) {
      for (const entry of batch) entry.settle.reject(error);
    } finally {
      spare.push(memory);
    }
  }

  return {
    submit(submission) {
      const settle = Promise.withResolvers<Result<BatchedSequence>>();
      queue.push({ ...submission, group: groupOf(submission.decoding), queuedAt: performance.now(), settle });
      if (running < engine.concurrency) void runUntilEmpty();
      return settle.promise;
    },
    get queueDepth() {
      return queue.length;
    },
    get backlogSeconds() {
      return (queue.length * secondsAPicture) / engine.concurrency;
    },
  };
}

function mayShare(first: Entry, other: Entry): boolean {
  return first.group === other.group && isUrgent(first) === isUrgent(other);
}

function isUrgent({ demand }: Entry): boolean {
  return !demand.isBackground;
}

/**
 * What pictures must have in common to share a forward pass. Greedy decoding is prefix-consistent, so its rows may ask
 * for different lengths: the longest is generated and the others are cut.
 */
function groupOf(decoding: DecodingOptions): string {
  return JSON.stringify(decoding.numBeams === 1 ? { ...decoding, maxNewTokens: "any" } : decoding);
}

function sharedDecoding(batch: readonly Entry[]): DecodingOptions {
  const maxNewTokens = Math.max(...batch.map(({ decoding }) => decoding.maxNewTokens));
  return { ...oldestOf(batch).decoding, maxNewTokens };
}

/** Aborts once every one of `signals` has. */
function allAborted(signals: readonly AbortSignal[]): AbortSignal {
  const all = new AbortController();
  let open = signals.length;
  for (const signal of signals) {
    signal.addEventListener("abort", () => --open === 0 && all.abort(signal.reason), { once: true });
  }
  return all.signal;
}

/**
 * Reused for batch after batch: megabytes of garbage per batch would make the collector mark the heap every few
 * batches. Shared, so that an engine in its own thread reads the pixels where they are.
 */
function batchMemory(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bytes));
}

/** Copies a batch into `memory`. @returns uint8 [batch, 3, size, size] */
function stack(batch: readonly Entry[], memory: Uint8Array): Uint8Array {
  const { length } = oldestOf(batch).pixels;
  batch.forEach(({ pixels }, row) => {
    memory.set(pixels, row * length);
  });
  return memory.subarray(0, batch.length * length);
}

function oldestOf(batch: readonly Entry[]): Entry {
  const [oldest] = batch;
  if (oldest === undefined) throw new Error("This is a bug: an empty batch.");
  return oldest;
}
