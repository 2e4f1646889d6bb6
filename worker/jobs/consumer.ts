/**
 * Works off what the queue delivers: takes a chunk from its job, captions its items, and reports how each ended. Cached
 * captions are looked up in bulk before anything is fetched. A captioner that is busy or away costs no item an attempt:
 * nothing further is begun, and the job sends the rest again after the time that the captioner asked for.
 */

import pLimit, { type LimitFunction } from "p-limit";
import { toCaption } from "../../shared/caption.ts";
import { FailureError, PROBLEMS } from "../../shared/problem.ts";
import type { CaptionOptions } from "../../shared/schema.ts";
import type { Caller } from "../access/caller.ts";
import type { CaptionAnswer } from "../caching-captioner.ts";
import { generationOptions } from "../intake/options.ts";
import { toPicture } from "../intake/picture-request.ts";
import { BusyHostError } from "../intake/url/fetch-picture.ts";
import { itemFailureOf } from "../request/failure.ts";
import { logRequest } from "../request/log.ts";
import {
  type Background,
  noteProblem,
  openScope,
  type RequestScope,
  withDeadline,
} from "../request/scope.ts";
import type { Services } from "../services.ts";
import { type ByteBudget, createByteBudget } from "./byte-budget.ts";
import type { CaptionJob, ItemReport, Pause, TakenChunk } from "./caption-job.ts";
import type { WaitingItem } from "./ledger.ts";
import {
  HELD_PICTURE_BYTES,
  MAX_HOST_PAUSE_MS,
  MIN_HOST_PAUSE_MS,
  RESULTS_A_RECORD,
  RETRY_DELAY_MS,
} from "./limits.ts";
import { JobMessage } from "./message.ts";
import { failedOutcome } from "./outcome.ts";

const DEAD_LETTERS = /-dead$/;
/** Seconds until a message that nobody could work on is delivered again. */
const REDELIVER_SECONDS = 5;

interface ConsumerParts {
  readonly services: Services;
  readonly background: Background;
}

type JobStub = DurableObjectStub<CaptionJob>;

/** Everything a chunk's items have in common. */
interface Work extends ConsumerParts {
  readonly scope: RequestScope;
  readonly caller: Caller;
  readonly options: CaptionOptions;
  readonly budget: ByteBudget;
  readonly isSerial: boolean;
}

/**
 * Consumes a batch of the queue, or of the dead-letter queue. A chunk is taken only once all items of the one before it
 * have begun, because taking it starts the time in which the job expects to hear of it.
 */
export async function consumeJobs(batch: MessageBatch, parts: ConsumerParts): Promise<void> {
  // Belongs to this consumer, not to the isolate: an object made for one invocation must not wait on another's.
  const limit = pLimit(parts.services.config.JOB_ITEMS_AT_ONCE);
  const budget = createByteBudget(HELD_PICTURE_BYTES);
  const isDead = DEAD_LETTERS.test(batch.queue);
  const consumed: Promise<void>[] = [];
  for (const message of batch.messages) {
    const { promise: begun, resolve: onBegun } = Promise.withResolvers<void>();
    consumed.push(consume(message, { ...parts, limit, budget, isDead, onBegun }).finally(onBegun));
    await begun;
  }
  await Promise.all(consumed);
}

async function consume(
  message: Message,
  parts: ConsumerParts & {
    readonly limit: LimitFunction;
    readonly budget: ByteBudget;
    readonly isDead: boolean;
    readonly onBegun: () => void;
  },
): Promise<void> {
  const { services, background, limit, budget, isDead, onBegun } = parts;
  const scope = openScope({
    requestId: message.id,
    traceparent: () => undefined,
    timeoutMs: services.config.REQUEST_TIMEOUT_MS,
    priority: "background",
    background,
    now: services.now,
  });
  const log = (status: number, error?: unknown) =>
    logRequest({
      leastSevere: services.config.LOG_LEVEL,
      scope,
      method: "QUEUE",
      route: isDead ? "dead jobs" : "jobs",
      status,
      error,
    });
  const parsed = JobMessage.safeParse(message.body);
  if (!parsed.success) {
    scope.log.warnings.push("a queue message in an unknown format");
    log(400);
    message.ack();
    return;
  }
  const { job, chunk } = parsed.data;
  scope.log.job = job;
  const stub = services.jobs.getByName(job);
  try {
    if (isDead) await stub.giveUp(chunk);
    else
      await workOn(stub, chunk, {
        services,
        background,
        scope,
        limit,
        budget,
        onBegun,
        isRedelivered: message.attempts > 1,
      });
    message.ack();
    log(200);
  } catch (error) {
    message.retry({ delaySeconds: REDELIVER_SECONDS });
    log(500, error);
  }
}

async function workOn(
  stub: JobStub,
  number: number,
  parts: ConsumerParts & {
    readonly scope: RequestScope;
    readonly limit: LimitFunction;
    readonly budget: ByteBudget;
    readonly isRedelivered: boolean;
    readonly onBegun: () => void;
  },
): Promise<void> {
  const { services, scope, onBegun } = parts;
  const chunk = await stub.take(number, parts.isRedelivered);
  if (chunk === undefined) return;
  const caller = await services.gate.holderOf(chunk.owner, "jobs", scope);
  if (caller === "unknown-now") {
    await stub.close(number, [], { reason: "unavailable", ms: RETRY_DELAY_MS });
    return;
  }
  if (caller === "revoked") {
    await stub.fail({ code: "unauthorized", detail: "The key was revoked, or may no longer create jobs." });
    await stub.close(number, [], undefined);
    return;
  }
  const { options, isSerial } = chunk;
  const work: Work = { ...parts, caller, options, isSerial };
  const sha256s = chunk.items.flatMap(({ sha256 }) => sha256 ?? []);
  await services.captioner.warm({ sha256s, options: generationOptions(options), caller }, scope);
  const limit = isSerial ? pLimit(1) : parts.limit;
  const captioned = captionItems(stub, number, { chunk, work, limit });
  // The limit is first come, first served, so this runs once the chunk's last item has begun. A serial chunk has its own
  // limit and holds nobody up.
  void parts.limit(onBegun);
  await captioned;
}

async function captionItems(
  stub: JobStub,
  number: number,
  { chunk, work, limit }: { readonly chunk: TakenChunk; readonly work: Work; readonly limit: LimitFunction },
): Promise<void> {
  let reports: ItemReport[] = [];
  let pause: Pause | undefined;
  let goesOn = true;
  const full = chunk.isSerial ? 1 : RESULTS_A_RECORD;
  await Promise.all(
    chunk.items.map((item) =>
      limit(async () => {
        if (!goesOn) return;
        const ended = await captionItem(item, work);
        if (ended.pause !== undefined) {
          pause ??= ended.pause;
          goesOn = false;
        }
        if (ended.report !== undefined) reports.push(ended.report);
        if (reports.length < full || !goesOn) return;
        const record = reports;
        reports = [];
        goesOn = (await stub.record(number, record)) && goesOn;
      }),
    ),
  );
  await stub.close(number, reports, pause);
}

/** What became of an item, and whether anything further is to be begun now. */
interface EndedItem {
  readonly report?: ItemReport;
  readonly pause?: Pause;
}

async function captionItem(item: WaitingItem, work: Work): Promise<EndedItem> {
  const { index } = item;
  try {
    return { report: { index, outcome: await captionedOutcome(item, work) } };
  } catch (error) {
    const failure = itemFailureOf(error, "job item", work.scope);
    const { code } = failure;
    noteProblem(work.scope, code);
    if (error instanceof BusyHostError) {
      const ms = Math.min(
        Math.max(error.retryAfterMs ?? RETRY_DELAY_MS, MIN_HOST_PAUSE_MS),
        MAX_HOST_PAUSE_MS,
      );
      return { report: { index, failure, isHostBusy: true }, pause: { reason: code, ms, isHostBusy: true } };
    }
    if (code === "deadline-exceeded") {
      const pause = { reason: "overloaded", ms: RETRY_DELAY_MS, isLate: true } as const;
      return work.isSerial ? { report: { index, failure, isLate: true }, pause } : { pause };
    }
    switch (PROBLEMS[code].passesWith) {
      case "time": {
        const seconds = failure.retryAfterSeconds;
        const ms = seconds === undefined ? RETRY_DELAY_MS : seconds * 1000;
        return { pause: { reason: code, ms } };
      }
      case "item":
        return { report: { index, failure } };
      case "nothing":
        return { report: { index, outcome: failedOutcome(failure) } };
    }
  }
}

/** @throws {FailureError} */
async function captionedOutcome({ sha256, url }: WaitingItem, work: Work) {
  const { services, caller, scope } = work;
  const options = generationOptions(work.options);
  if (sha256 !== undefined) {
    const clocked = withDeadline(scope, services.config.REQUEST_TIMEOUT_MS);
    const found = await services.captioner.lookUp({ sha256, options, caller, scope: clocked });
    if (found === undefined)
      throw new FailureError({ code: "not-captioned", detail: "Give its address instead." });
    if (!found.ok) throw new FailureError(found.failure);
    return outcomeOf(sha256, found.value, work);
  }
  await caller.requireQuota();
  let held = 0;
  const hold = async (bytes: number) => {
    await work.budget.take(bytes);
    held = bytes;
  };
  try {
    const fetched = await services.fetchPicture(url ?? "", hold);
    // If the host declared no length, room for the largest picture was taken.
    work.budget.giveBack(held - fetched.bytes.length);
    held = fetched.bytes.length;
    const { sha256: hash, picture } = toPicture(fetched);
    const clocked = withDeadline(scope, services.config.REQUEST_TIMEOUT_MS);
    const result = await services.captioner.caption({
      sha256: hash,
      picture,
      options,
      caller,
      scope: clocked,
    });
    if (!result.ok) throw new FailureError(result.failure);
    return outcomeOf(hash, result.value, work);
  } finally {
    work.budget.giveBack(held);
  }
}

function outcomeOf(sha256: string, { generated, provenance, review }: CaptionAnswer, { options }: Work) {
  // Nothing was generated for an item that joined another's run.
  const cached = provenance.kind === "hit" || provenance.collapsed;
  const caption = toCaption({ sha256, generated, cached, maxLength: options.max_length, review });
  return { ...caption, status: cached ? ("cached" as const) : ("generated" as const) };
}
