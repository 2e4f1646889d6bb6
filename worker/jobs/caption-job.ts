/**
 * One job. This Durable Object is its only source of truth; the queue is mere transport. Its alarm sends again what was
 * sent and not heard of in time, so a lost message costs minutes, never an item. How an item ended is recorded only once,
 * however often it is reported. Pictures never come here.
 */

import { DurableObject } from "cloudflare:workers";
import type { Job, JobEvent } from "../../shared/jobs.ts";
import type { Failure, ProblemCode } from "../../shared/problem.ts";
import type { CaptionOptions } from "../../shared/schema.ts";
import { parseConfig } from "../config.ts";
import { TIMED_OUT, within } from "../request/within.ts";
import { areHostsHeeded, chunksAtOnce, narrow, slowDown, speedUp } from "./host-pace.ts";
import { describeJob, expiresAt, isRunning, type JobState, type JobTerms, timesOutAt } from "./job-state.ts";
import { type Chunk, createLedger, type NewItem, type WaitingItem } from "./ledger.ts";
import { CHUNK_TAKES, ITEM_ATTEMPTS, RECEIVE_GRACE_MS, RETRY_DELAY_MS, WEBHOOK_GO_ON_MS } from "./limits.ts";
import type { JobMessage } from "./message.ts";
import { createOutbox } from "./outbox.ts";
import { failedOutcome, type ItemOutcome } from "./outcome.ts";
import { deliver, newWebhookSecret } from "./webhook.ts";

/** What the object needs from its environment, besides the variables. */
export interface JobBindings {
  readonly JOB_QUEUE: Queue<JobMessage>;
}

export interface JobStart {
  readonly id: string;
  /** Id of the key whose job it is. */
  readonly owner: string;
}

export type Beginning =
  | { readonly kind: "new" }
  /** Another invocation is still receiving the same request. */
  | { readonly kind: "receiving" }
  | { readonly kind: "exists"; readonly fingerprint: string | undefined };

/** A chunk as a consumer gets it. */
export interface TakenChunk {
  readonly owner: string;
  readonly options: CaptionOptions;
  readonly items: readonly WaitingItem[];
  /**
   * Caption one item at a time, because the consumer before did not come back or one item was late: so the item at fault is
   * found.
   */
  readonly isSerial: boolean;
}

/** The result of a try at an item: its outcome, or a failure that may pass. */
export type ItemReport =
  | { readonly index: number; readonly outcome: ItemOutcome }
  | {
      readonly index: number;
      readonly failure: Failure;
      /** The picture's host asks for a pause. */
      readonly isHostBusy?: boolean;
      /**
       * The captioner was late with it, although it was the only item of its chunk under way, and captioned another picture
       * right after.
       */
      readonly isLate?: boolean;
    };

/** Why nothing further is begun for a while. */
export interface Pause {
  readonly reason: ProblemCode;
  readonly ms: number;
  /** A host of pictures asks for it, not the service. */
  readonly isHostBusy?: boolean;
  /** The captioner works, but was late: it may have been asked for too much at once. */
  readonly isLate?: boolean;
}

const STATE = "state";

export class CaptionJob extends DurableObject<JobBindings> {
  readonly #config = parseConfig(this.env);
  readonly #ledger = createLedger(this.ctx.storage.sql);
  readonly #outbox = createOutbox(this.ctx.storage.sql);
  readonly #now = () => Date.now();
  #known: JobState | undefined;
  /** When the alarm goes off, if this instance has set it. */
  #alarmAt = Number.POSITIVE_INFINITY;

  /** Starts a job whose items are about to arrive, unless it exists already. */
  async begin({ id, owner }: JobStart): Promise<Beginning> {
    const state = this.#state();
    if (state?.status === "receiving") return { kind: "receiving" };
    if (state !== undefined) return { kind: "exists", fingerprint: state.terms?.fingerprint };
    this.#ledger.create();
    this.#outbox.create();
    const counts = { total: 0, waiting: 0, cached: 0, generated: 0, failed: 0, cancelled: 0 };
    this.#save({ id, owner, createdAt: this.#now(), counts, status: "receiving", delivery: "pending" });
    await this.#wake(this.#now() + this.#config.UPLOAD_TIMEOUT_MS + RECEIVE_GRACE_MS);
    return { kind: "new" };
  }

  /** Adds items in the order of the request. */
  async add(items: readonly NewItem[]): Promise<void> {
    const state = this.#require("receiving");
    this.#ledger.add(items, state.counts);
    this.#save(state);
  }

  /** The request has been read, so the work begins. */
  async commit(terms: JobTerms): Promise<Job> {
    const state = this.#require("receiving");
    const secret = terms.webhook === undefined ? undefined : newWebhookSecret();
    this.#ledger.divide(state.counts.total, this.#now());
    this.#save({ ...state, terms: { ...terms, secret }, status: "queued" });
    await this.#goOn();
    return this.#job({ withSecret: true });
  }

  /** The request was refused or broke off, so nothing of it is kept. */
  async discard(): Promise<void> {
    if (this.#state()?.status === "receiving") await this.#forget();
  }

  /** How far the job has got; undefined if `owner` has no such job. */
  async look(owner: string): Promise<Job | undefined> {
    if (!this.#isOf(owner)) return undefined;
    await this.#rearm();
    return this.#job();
  }

  /**
   * Repeats the answer to the request that created the job: the first may have been lost, and no other answer has the
   * webhook's secret.
   */
  async lookAsMade(owner: string): Promise<Job | undefined> {
    return this.#isOf(owner) ? this.#job({ withSecret: true }) : undefined;
  }

  /** JSON lines of what is done, in order, from item `from` on. */
  async lines(
    owner: string,
    from: number,
    limit: number,
  ): Promise<{ readonly lines: string[]; readonly next: number | undefined } | undefined> {
    return this.#isOf(owner) ? this.#ledger.lines(from, limit) : undefined;
  }

  /** Cancels what has not begun. Cancelling twice does no harm. */
  async cancel(owner: string): Promise<Job | undefined> {
    if (!this.#isOf(owner)) return undefined;
    await this.#stop("cancelled");
    return this.#job();
  }

  /** Fails a running job because of its owner: the key is gone, or may do this no longer. */
  async fail(failure: Failure): Promise<void> {
    await this.#stop("failed", failure);
  }

  /**
   * What is to be done of a chunk; undefined if that is nothing, or is another consumer's. A redelivered message means that
   * the consumer before did not finish.
   */
  async take(number: number, isRedelivered: boolean): Promise<TakenChunk | undefined> {
    const state = this.#state();
    const chunk = this.#ledger.chunk(number);
    if (state?.terms === undefined || chunk === undefined) return undefined;
    const isFree = chunk.state === "sent" || (chunk.state === "taken" && isRedelivered);
    if (!isRunning(state) || !isFree) return undefined;
    if (state.paused !== undefined && state.paused.until > this.#now()) {
      this.#ledger.move(number, { ...chunk, state: "ready", due: state.paused.until });
      await this.#schedule();
      return undefined;
    }
    const items = this.#ledger.waitingOf(number);
    this.#ledger.move(number, { state: "taken", due: this.#lease(), takes: chunk.takes + 1 });
    this.#save({ ...state, status: "running", startedAt: state.startedAt ?? this.#now(), paused: undefined });
    await this.#schedule();
    const { owner, terms } = state;
    return { owner, options: terms.options, items, isSerial: chunk.takes > 0 };
  }

  /** Records reports on some items. False if no further items are to be begun. */
  async record(number: number, reports: readonly ItemReport[]): Promise<boolean> {
    const state = this.#state();
    if (state === undefined) return false;
    this.#noteAll(reports, state);
    const chunk = this.#ledger.chunk(number);
    // The chunk has moved on: if its consumer ends again, it will be at another item.
    const takes = Math.min(chunk?.takes ?? 0, 1);
    if (chunk?.state === "taken") this.#ledger.move(number, { ...chunk, due: this.#lease(), takes });
    this.#save(state);
    return isRunning(state);
  }

  /** The consumer is through with a chunk: items that still wait are sent again, after the pause if there is one. */
  async close(number: number, reports: readonly ItemReport[], pause: Pause | undefined): Promise<void> {
    const state = this.#state();
    if (state === undefined) return;
    this.#noteAll(reports, state);
    const now = this.#now();
    const heeded = pause?.isHostBusy && !areHostsHeeded(state) ? undefined : pause;
    if (heeded?.isHostBusy) slowDown(state, now);
    else if (heeded?.isLate) narrow(state, now);
    else speedUp(state);
    const paused = heeded === undefined ? state.paused : { reason: heeded.reason, until: now + heeded.ms };
    // If an item was late, the chunk goes item by item the next time, which shows whether the item is late even alone.
    const again = { due: now + (heeded?.ms ?? RETRY_DELAY_MS), takes: heeded?.isLate ? 1 : 0 };
    this.#release(number, { ...state, paused }, again);
    await this.#goOn();
  }

  /** The queue gave up on a chunk's message. */
  async giveUp(number: number): Promise<void> {
    const state = this.#state();
    const chunk = this.#ledger.chunk(number);
    if (state === undefined || chunk === undefined || chunk.state === "done" || chunk.state === "ready")
      return;
    // If nobody could begin the chunk, or its items were getting done one by one, no item is at fault.
    this.#abandon(chunk, state, chunk.takes > 1);
    await this.#goOn();
  }

  override async alarm(): Promise<void> {
    this.#alarmAt = Number.POSITIVE_INFINITY;
    const state = this.#state();
    const now = this.#now();
    if (state === undefined) return;
    if (state.status === "receiving" || now >= expiresAt(state)) {
      await this.#forget();
      return;
    }
    if (now >= timesOutAt(state)) {
      const detail = "The job was not done within 30 days; what was done is in its results.";
      await this.#stop("failed", { code: "deadline-exceeded", detail });
    }
    for (const chunk of this.#ledger.lost(now)) {
      this.#abandon(chunk, this.#require(), chunk.takes >= CHUNK_TAKES);
    }
    await this.#goOn();
    const delivered = this.#deliverDue();
    // A receiver that takes its time must not hold up the job, whose pause may end meanwhile: no other alarm goes off until
    // this one has ended.
    while ((await within(WEBHOOK_GO_ON_MS, delivered)) === TIMED_OUT) await this.#goOn();
    await this.#schedule();
  }

  /** Takes a chunk away from its consumer; `isAtFault` gives up the item at which its consumers always ended. */
  #abandon({ number, takes }: Chunk, state: JobState, isAtFault: boolean): void {
    const [first] = this.#ledger.waitingOf(number);
    if (isAtFault && first !== undefined) {
      const detail = "The item could not be processed: the worker ended each time it tried.";
      this.#ledger.finish(first.index, failedOutcome({ code: "internal", detail }), state.counts);
    }
    this.#release(number, state, { due: this.#now(), takes: isAtFault ? 1 : takes });
  }

  /** Nobody has the chunk any more: items that wait are sent again from `due` on, or cancelled if the job was stopped. */
  #release(number: number, state: JobState, again: Pick<Chunk, "due" | "takes">): void {
    if (!isRunning(state)) this.#ledger.cancelChunk(number, state.counts);
    const isDone = this.#ledger.waitingOf(number).length === 0;
    this.#ledger.move(number, { ...again, state: isDone ? "done" : "ready" });
    this.#save(state);
    if (isDone) this.#tellChunk(number);
  }

  /** Records reports in `state`, which the caller saves. */
  #noteAll(reports: readonly ItemReport[], state: JobState): void {
    if (reports.some((report) => "outcome" in report)) state.fruitlessHostPauses = 0;
    for (const report of reports) this.#note(report, state);
  }

  #note(report: ItemReport, state: JobState): void {
    const { counts } = state;
    if ("outcome" in report) {
      this.#ledger.finish(report.index, report.outcome, counts);
      return;
    }
    if (report.isHostBusy && areHostsHeeded(state)) return;
    if (report.isLate && this.#ledger.inFlight() > 1) return;
    this.#ledger.attempted(report.index);
    const attempts = this.#ledger.attemptsOf(report.index);
    if (attempts >= ITEM_ATTEMPTS) this.#ledger.finish(report.index, failedOutcome(report.failure), counts);
  }

  /** Sends what may be sent, ends the job if nothing waits, and sets the alarm for what comes next. */
  async #goOn(): Promise<void> {
    const state = this.#state();
    if (state === undefined || state.status === "receiving") return;
    if (state.counts.waiting === 0 && state.finishedAt === undefined) this.#finish(state);
    else if (isRunning(state)) await this.#send(state);
    await this.#schedule();
  }

  async #send(state: JobState): Promise<void> {
    const now = this.#now();
    if (state.paused !== undefined && state.paused.until > now) return;
    const room = chunksAtOnce(state) - this.#ledger.inFlight();
    const chunks = room > 0 ? this.#ledger.send(room, { now, due: this.#lease() }) : [];
    if (chunks.length === 0) return;
    try {
      await this.env.JOB_QUEUE.sendBatch(chunks.map((chunk) => ({ body: { job: state.id, chunk } })));
    } catch (error) {
      const warnings = [`queue: ${String(error)}`];
      console.warn(JSON.stringify({ level: "warn", service: "worker", job: state.id, warnings }));
      for (const number of chunks) {
        this.#ledger.move(number, { state: "ready", due: now + RETRY_DELAY_MS, takes: 0 });
      }
    }
  }

  async #stop(status: "cancelled" | "failed", failure?: Failure): Promise<void> {
    const state = this.#state();
    if (state === undefined || !isRunning(state)) return;
    this.#ledger.cancelWaiting(state.counts);
    this.#save({ ...state, status, paused: undefined, ...(failure && { failure }) });
    this.#endUntaken();
    await this.#goOn();
  }

  #finish(state: JobState): void {
    const status = isRunning(state) ? "completed" : state.status;
    this.#save({ ...state, status, finishedAt: this.#now(), paused: undefined });
    this.#endUntaken();
    // `isAllTold` stays false, because this event itself has yet to be delivered.
    this.#tell("caption.job.completed", "completed", () => describeJob(this.#require(), this.#now()));
  }

  /** Ends the chunks that no consumer has: nothing waits in them any more, and no consumer will report that. */
  #endUntaken(): void {
    for (const number of this.#ledger.endUntaken()) this.#tellChunk(number);
  }

  #tellChunk(number: number): void {
    this.#tell("caption.job.chunk", `${number}`, () => this.#chunkLines(number));
  }

  /** Puts an event into the outbox, if the webhook asks for it and there is something to tell. */
  #tell(type: JobEvent, name: string, data: () => unknown): void {
    const { id, terms } = this.#require();
    if (terms?.webhook === undefined || !terms.webhook.events.includes(type)) return;
    const told = data();
    if (told === undefined) return;
    const body = JSON.stringify({ type, timestamp: new Date(this.#now()).toISOString(), data: told });
    this.#outbox.add({ id: `${id}_${name}`, type, body }, this.#now());
  }

  /** The chunk event's data; undefined if none of its items was done before the job was stopped. */
  #chunkLines(number: number): unknown {
    const { id } = this.#require();
    const lines = this.#ledger.linesOf(number).map((line) => JSON.parse(line) as unknown);
    return lines.length === 0 ? undefined : { id, lines };
  }

  async #deliverDue(): Promise<void> {
    const { terms } = this.#require();
    const { webhook, secret } = terms ?? {};
    if (webhook === undefined || secret === undefined) return;
    await Promise.all(
      this.#outbox.due(this.#now()).map(async ({ id, body }) => {
        const answer = await deliver(
          { id, url: webhook.url, secret, body },
          {
            fetch: (input, init) => fetch(input, init),
            allowedHosts: this.#config.URL_ALLOWED_HOSTS,
            now: this.#now,
          },
        );
        const delivery = this.#outbox.tried(id, answer.outcome, this.#now());
        if (answer.outcome === "delivered") return;
        const given = delivery === "undelivered" ? { delivery } : {};
        this.#save({ ...this.#require(), ...given, deliveryFailure: answer.reason });
      }),
    );
  }

  /** Sets the alarm for the next thing to do, unless an earlier alarm is set: that one then sets the next. */
  async #schedule(): Promise<void> {
    const state = this.#require();
    const { lost, ready } = this.#ledger.nextDue();
    const hasRoom = isRunning(state) && this.#ledger.inFlight() < chunksAtOnce(state);
    const sendable = hasRoom && ready !== undefined ? Math.max(ready, state.paused?.until ?? 0) : undefined;
    const times = [lost, sendable, this.#outbox.nextDue(), timesOutAt(state), expiresAt(state)];
    await this.#wake(Math.min(...times.filter((time) => time !== undefined)));
  }

  /**
   * Sets the alarm again if the platform has given it up, which it does after a handler has thrown for some two minutes.
   * https://developers.cloudflare.com/durable-objects/api/alarms/
   */
  async #rearm(): Promise<void> {
    if (this.#alarmAt !== Number.POSITIVE_INFINITY) return;
    const at = await this.ctx.storage.getAlarm();
    if (at === null) await this.#schedule();
    else this.#alarmAt = at;
  }

  async #wake(at: number): Promise<void> {
    if (at >= this.#alarmAt) return;
    this.#alarmAt = at;
    await this.ctx.storage.setAlarm(Math.max(at, this.#now()));
  }

  async #forget(): Promise<void> {
    this.#known = undefined;
    this.#alarmAt = Number.POSITIVE_INFINITY;
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }

  #lease(): number {
    return this.#now() + this.#config.JOB_LEASE_MS;
  }

  #isOf(owner: string): boolean {
    const state = this.#state();
    return state !== undefined && state.owner === owner && state.status !== "receiving";
  }

  #state(): JobState | undefined {
    this.#known ??= this.ctx.storage.kv.get<JobState>(STATE);
    return this.#known;
  }

  #require(status?: JobState["status"]): JobState {
    const state = this.#state();
    if (state === undefined || (status !== undefined && state.status !== status)) {
      throw new Error(`This is a bug: the job is ${state?.status ?? "not there"}.`);
    }
    return state;
  }

  #save(state: JobState): void {
    this.#known = state;
    this.ctx.storage.kv.put(STATE, state);
  }

  #job(options: { readonly withSecret?: boolean } = {}): Job {
    return describeJob(this.#require(), this.#now(), { ...options, isAllTold: this.#outbox.isEmpty() });
  }
}
