/**
 * Decides which picture decodes when. Few at once, and the memory of the large ones is bounded together. One that has
 * had its turn makes way for those who wait: it goes on beside the lanes if there is room there, else it begins again
 * when there is. So a few slow pictures never keep a quick one waiting. One whose decoder is lost has a second one. Pictures
 * that somebody waits for go before those of the background. Knows no processes and no formats.
 */

import { failure, type Result } from "../../shared/result.ts";
import type { Decoder } from "./decoder.ts";
import { type Demand, inTurn } from "./demand.ts";
import type { InspectedPicture } from "./inspect.ts";

export interface DecodeQueueOptions {
  /** Most pictures that decode at once before their turn is over, and as many after it. */
  readonly lanes: number;
  /** Most memory that the large pictures take together; small ones are bounded by the lanes. */
  readonly memoryBytes: number;
  /** How long a picture holds its lane against those that wait. */
  readonly turnMs: number;
  readonly startDecoder: () => Decoder;
}

export interface DecodeQueue {
  /**
   * As `Decoder.decode`; fails with `deadline-exceeded` as soon as nobody wants it any more, and lets go of the picture's bytes
   * if it has not begun.
   */
  decode(picture: InspectedPicture, demand: Demand): Promise<Result<Uint8Array>>;
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
  /** Its decoder was lost once. */
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
  /** Not begun. */
  let waiting: Job[] = [];
  /** Begun once and stopped. */
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

  async function finish(run: Run): Promise<void> {
    const { job, decoder } = run;
    try {
      const result = await decoder.decode(job.picture);
      if (result !== "ended" && !("lost" in result)) job.settle.resolve(result);
      else if (result !== "ended" && job.isSuspect) job.settle.resolve(result.lost);
      else if (!job.isLeft) {
        job.isSuspect ||= result !== "ended";
        resting.push(job);
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

  /** Begins what there is room for, in order; a large picture that waits for memory lets only small ones pass. */
  function startFrom(jobs: readonly Job[], place: Set<Run>): Job[] {
    let isLargeWaiting = false;
    return jobs.filter((job) => {
      const hasRoom = place.size < lanes && hasMemory(job) && !(job.isLarge && isLargeWaiting);
      if (hasRoom) begin(job, place);
      else isLargeWaiting ||= job.isLarge;
      return !hasRoom;
    });
  }

  /** Somebody waits for a lane: pictures whose turn is over leave theirs. */
  function makeWay(): void {
    for (const run of [...inLane].filter(({ isTurnOver }) => isTurnOver)) {
      if (beside.size < lanes) {
        inLane.delete(run);
        beside.add(run);
      } else {
        // Comes back by way of `finish`, which then gives the lane away.
        run.decoder.end();
      }
    }
    waiting = startFrom(waiting, inLane);
  }

  function leave(job: Job): void {
    job.isLeft = true;
    waiting = waiting.filter((other) => other !== job);
    resting = resting.filter((other) => other !== job);
    // One that is nearly done is not worth a new process.
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
    close() {
      isClosed = true;
      for (const decoder of [...idle, ...[...inLane, ...beside].map((run) => run.decoder)]) decoder.end();
    },
  };
}
