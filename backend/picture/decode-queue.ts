/**
 * Decides which picture is decoded when. Knows no processes and no formats.
 *
 * - Few pictures decode at once, and the memory of the large ones is limited together.
 * - A few slow pictures never keep a quick one waiting. One that has had its turn makes way if others wait: it goes
 *   on beside the lanes if there is room, or else is stopped and begins again when there is.
 * - A picture whose decoder was lost is decoded a second time.
 * - Pictures that somebody waits for go before background ones.
 */

import { failure, type Result } from "../../shared/result.ts";
import type { Decoder } from "./decoder.ts";
import { type Demand, inTurn } from "./demand.ts";
import type { InspectedPicture } from "./inspect.ts";

export interface DecodeQueueOptions {
  /** Most pictures that decode at once within their turn, and as many more whose turn is over. */
  readonly lanes: number;
  /** Most memory that the large pictures take together; small ones are limited by the number of lanes. */
  readonly memoryBytes: number;
  /** How long a picture keeps its lane while others wait. */
  readonly turnMs: number;
  readonly startDecoder: () => Decoder;
}

export interface DecodeQueue {
  /**
   * Decodes as `Decoder.decode` does. Fails with `deadline-exceeded` as soon as nobody wants the picture any more,
   * and then releases its bytes if decoding has not begun.
   */
  decode(picture: InspectedPicture, demand: Demand): Promise<Result<Uint8Array>>;
  /** Whether a picture could be decoded now. Tries to start a decoder if there is none. */
  isReady(): boolean;
  close(): void;
}

/** A JPEG of 20 million pixels is small. */
const SMALL_PICTURE_BYTES = 32 * 1024 * 1024;

interface Job {
  readonly picture: InspectedPicture;
  readonly isLarge: boolean;
  readonly demand: Demand;
  readonly settle: PromiseWithResolvers<Result<Uint8Array>>;
  isLeft: boolean;
  /** Its decoder has been lost once. */
  isSuspect: boolean;
}

interface Run {
  readonly job: Job;
  readonly decoder: Decoder;
  readonly turn: NodeJS.Timeout;
  isTurnOver: boolean;
}

export function createDecodeQueue({
  lanes,
  memoryBytes,
  turnMs,
  startDecoder,
}: DecodeQueueOptions): DecodeQueue {
  const idle = Array.from({ length: lanes }, startDecoder);
  /** Pictures that have not begun. */
  let waiting: Job[] = [];
  /** Pictures that had begun and were stopped. */
  let resting: Job[] = [];
  const inLane = new Set<Run>();
  const beside = new Set<Run>();
  let largeBytes = 0;
  let isClosed = false;

  const hasMemory = ({ isLarge, picture }: Job) =>
    !isLarge || largeBytes === 0 || largeBytes + picture.decodeBytes <= memoryBytes;

  function begin(job: Job, place: Set<Run>): void {
    const run: Run = {
      job,
      decoder: takeDecoder(),
      isTurnOver: false,
      turn: setTimeout(() => {
        run.isTurnOver = true;
        startWaiting();
      }, turnMs),
    };
    place.add(run);
    if (job.isLarge) largeBytes += job.picture.decodeBytes;
    void finish(run);
  }

  function takeDecoder(): Decoder {
    for (let decoder = idle.pop(); decoder !== undefined; decoder = idle.pop()) {
      if (decoder.isFit) return decoder;
    }
    return startDecoder();
  }

  /** Lets a picture begin again when there is room, unless its caller has left. */
  function rest(job: Job): void {
    if (!job.isLeft) resting.push(job);
  }

  async function finish(run: Run): Promise<void> {
    const { job, decoder } = run;
    try {
      const result = await decoder.decode(job.picture);
      if (result === "ended") rest(job);
      else if (!("lost" in result)) job.settle.resolve(result);
      else if (job.isSuspect) job.settle.resolve(result.lost);
      else {
        job.isSuspect = true;
        rest(job);
      }
    } catch (error) {
      job.settle.reject(error);
    }
    clearTimeout(run.turn);
    inLane.delete(run);
    beside.delete(run);
    if (job.isLarge) largeBytes -= job.picture.decodeBytes;
    if (isClosed) return;
    if (decoder.isFit && idle.length < lanes) idle.push(decoder);
    else decoder.end();
    while (idle.length + inLane.size < lanes) idle.push(startDecoder());
    startWaiting();
  }

  function startWaiting(): void {
    waiting = startFrom(inTurn(waiting), inLane);
    if (waiting.some(hasMemory)) makeWay();
    resting = startFrom(resting, beside);
  }

  /** Begins pictures in order while there is room. While a large one waits for memory, only small ones may pass it. */
  function startFrom(jobs: readonly Job[], place: Set<Run>): Job[] {
    let isLargeWaiting = false;
    return jobs.filter((job) => {
      const hasRoom = place.size < lanes && hasMemory(job) && !(job.isLarge && isLargeWaiting);
      if (hasRoom) begin(job, place);
      else isLargeWaiting ||= job.isLarge;
      return !hasRoom;
    });
  }

  /** Takes lanes from pictures whose turn is over, because others wait. */
  function makeWay(): void {
    for (const run of [...inLane].filter(({ isTurnOver }) => isTurnOver)) {
      if (beside.size < lanes) {
        inLane.delete(run);
        beside.add(run);
      } else {
        // `finish` handles the stopped picture, and then gives its lane away.
        run.decoder.end();
      }
    }
    waiting = startFrom(waiting, inLane);
  }

  function leave(job: Job): void {
    job.isLeft = true;
    waiting = waiting.filter((other) => other !== job);
    resting = resting.filter((other) => other !== job);
    // A picture still in its lane is nearly done, so ending it is not worth a new process.
    for (const { decoder, job: other } of beside) if (other === job) decoder.end();
    job.settle.resolve(failure("deadline-exceeded", "Nobody waits for this caption any more."));
  }

  return {
    decode(picture, demand) {
      const { signal } = demand;
      const job: Job = {
        picture,
        isLarge: picture.decodeBytes > SMALL_PICTURE_BYTES,
        demand,
        settle: Promise.withResolvers(),
        isLeft: false,
        isSuspect: false,
      };
      if (signal.aborted) {
        leave(job);
        return job.settle.promise;
      }
      const left = () => leave(job);
      signal.addEventListener("abort", left, { once: true });
      waiting.push(job);
      startWaiting();
      return job.settle.promise.finally(() => signal.removeEventListener("abort", left));
    },
    isReady() {
      const hasDecoder = () => inLane.size > 0 || idle.some(({ isFit }) => isFit);
      if (!hasDecoder()) idle.splice(0, idle.length, startDecoder());
      return hasDecoder();
    },
    close() {
      isClosed = true;
      for (const decoder of [...idle, ...[...inLane, ...beside].map((run) => run.decoder)]) decoder.end();
    },
  };
}
