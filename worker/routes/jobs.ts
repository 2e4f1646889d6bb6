/** `/v1/jobs`: whole libraries captioned in the background. The work is done in worker/jobs; this is what callers see of it. */

import type { Context, Handler } from "hono";
import { accepts } from "hono/accepts";
import { streamSSE } from "hono/streaming";
import { isFinished, type Job, JobLine, JobResultsQuery } from "../../shared/jobs.ts";
import { FailureError, NOT_STORED } from "../../shared/problem.ts";
import { NOT_BUFFERED } from "../answer.ts";
import { parseWith, queryOf } from "../intake/options.ts";
import { refuseAddress } from "../intake/url/address-policy.ts";
import type { CaptionJob } from "../jobs/caption-job.ts";
import { LINES_A_READ } from "../jobs/limits.ts";
import { JOB_ID } from "../jobs/message.ts";
import { fingerprintOf, jobId, readJob } from "../jobs/read-job.ts";
import type { AppEnv } from "../request/context.ts";

/** The paths, as the router and as the OpenAPI document write them. */
export const JOBS_PATH = { route: "/v1/jobs", document: "/v1/jobs" } as const;
export const JOB_PATH = { route: "/v1/jobs/:id", document: "/v1/jobs/{id}" } as const;
export const JOB_RESULTS_PATH = { route: "/v1/jobs/:id/results", document: "/v1/jobs/{id}/results" } as const;
export const JOB_EVENTS_PATH = { route: "/v1/jobs/:id/events", document: "/v1/jobs/{id}/events" } as const;

/** What an `Idempotency-Key` may be. */
export const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;
const RECEIVING_RETRY_SECONDS = 5;
const PROGRESS_EVERY_MS = 1_000;
/** Id of the last event, so that a client that comes back with it is known to have all events. */
export const END_EVENT_ID = "end";
/** How often a comment is sent, so that no proxy takes the silence for the end. */
const ALIVE_EVERY_POLLS = 15;

const FORMATS = { ndjson: "application/x-ndjson", csv: "text/csv; charset=utf-8" } as const;

interface JobParts {
  readonly jobs: DurableObjectNamespace<CaptionJob>;
}

/** Accepts a job of up to 10,000 pictures, and answers before any is captioned. */
export function postJob(
  parts: JobParts & { readonly uploadTimeoutMs: number; readonly allowedHosts: readonly string[] },
): Handler<AppEnv> {
  return async (context) => {
    const { caller } = context.var;
    const owner = caller.id;
    const key = idempotencyKey(context.req.header("idempotency-key"));
    const id = await jobId(owner, key);
    const stub = parts.jobs.getByName(id);
    const { raw } = context.req;
    const query = queryOf(raw);
    const begun = await stub.begin({ id, owner });
    if (begun.kind === "receiving") {
      throw new FailureError({
        code: "request-in-progress",
        detail: "A request with this Idempotency-Key is still being received.",
        retryAfterSeconds: RECEIVING_RETRY_SECONDS,
      });
    }
    if (begun.kind === "exists") {
      if ((await fingerprintOf(raw, query, parts.uploadTimeoutMs)) !== begun.fingerprint) {
        throw new FailureError({
          code: "idempotency-key-reused",
          detail:
            "This Idempotency-Key was used with another body or other options. Use a new one for a new job.",
        });
      }
      return accepted(await found(stub.lookAsMade(owner)));
    }
    try {
      const { options, webhook, count, fingerprint } = await readJob(raw, query, {
        timeoutMs: parts.uploadTimeoutMs,
        add: (items) => stub.add(items),
      });
      const refused = webhook && refuseAddress(new URL(webhook.url), parts.allowedHosts);
      if (refused !== undefined) throw new FailureError({ ...refused, detail: `webhook: ${refused.detail}` });
      await caller.countJobItems(count);
      return accepted(await stub.commit({ options, webhook, fingerprint }));
    } catch (error) {
      // By a new stub, because one that has met a restart of its object stays broken.
      await parts.jobs.getByName(id).discard();
      throw error;
    }
  };
}

/** How far a job has got. */
export function getJob({ jobs }: JobParts): Handler<AppEnv, typeof JOB_PATH.route> {
  return async (context) => {
    const job = await found(stubOf(jobs, context.req.param("id")).look(context.var.caller.id));
    return Response.json(job, { headers: NOT_STORED });
  };
}

/** Cancels what has not begun. */
export function deleteJob({ jobs }: JobParts): Handler<AppEnv, typeof JOB_PATH.route> {
  return async (context) => {
    const job = await found(stubOf(jobs, context.req.param("id")).cancel(context.var.caller.id));
    return Response.json(job, { headers: NOT_STORED });
  };
}

/** A line for each item that is done, in the order of the request. */
export function getJobResults({ jobs }: JobParts): Handler<AppEnv, typeof JOB_RESULTS_PATH.route> {
  return async (context) => {
    const format = formatOf(context);
    const owner = context.var.caller.id;
    const stub = stubOf(jobs, context.req.param("id"));
    const { head, write } = await writerOf(format);
    // The first part is read before answering, so that another key's job is a 404 and not an answer that breaks off.
    const first = await found(stub.lines(owner, 0, LINES_A_READ));
    let next: number | undefined = 0;
    const encoder = new TextEncoder();
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (next === undefined) return controller.close();
        const isFirst = next === 0;
        const page = isFirst ? first : await stub.lines(owner, next, LINES_A_READ);
        next = page?.next;
        const text = (isFirst ? head : "") + write(page?.lines ?? []);
        if (text !== "") controller.enqueue(encoder.encode(text));
        if (next === undefined) controller.close();
      },
    });
    return new Response(stream, { headers: { "content-type": FORMATS[format], ...NOT_STORED } });
  };
}

/** The job as it goes on: `progress` at each change, `end` when nothing more will come. */
export function getJobEvents({ jobs }: JobParts): Handler<AppEnv, typeof JOB_EVENTS_PATH.route> {
  return async (context) => {
    const owner = context.var.caller.id;
    const stub = stubOf(jobs, context.req.param("id"));
    let job = await found(stub.look(owner));
    // An EventSource reconnects whenever an answer ends, until it is told that there is no more. HTML, section 9.2.3.
    if (isFinished(job) && context.req.header("last-event-id") === END_EVENT_ID) {
      return new Response(null, { status: 204 });
    }
    for (const [name, value] of Object.entries(NOT_BUFFERED)) context.header(name, value);
    return streamSSE(context, async (stream) => {
      let said = "";
      for (let poll = 1; !stream.aborted; poll++) {
        const { seconds_left: _changesAlways, ...told } = job;
        const now = JSON.stringify(told);
        if (now !== said) {
          const data = JSON.stringify(job);
          await stream.writeSSE(
            isFinished(job) ? { event: "end", data, id: END_EVENT_ID } : { event: "progress", data },
          );
          said = now;
        } else if (poll % ALIVE_EVERY_POLLS === 0) await stream.write(": alive\n\n");
        if (isFinished(job)) return;
        await stream.sleep(PROGRESS_EVERY_MS);
        const next = await stub.look(owner);
        if (next === undefined) return;
        job = next;
      }
    });
  };
}

/** 202 with the job's location, RFC 9110 section 15.3.3. */
function accepted(job: Job): Response {
  return Response.json(job, {
    status: 202,
    headers: { location: `${JOBS_PATH.route}/${job.id}`, ...NOT_STORED },
  });
}

/** @throws {FailureError} `job-not-found`, also for another key's job */
async function found<T>(asked: Promise<T | undefined>): Promise<T> {
  const value = await asked;
  if (value === undefined) throw noSuchJob();
  return value;
}

function stubOf(jobs: DurableObjectNamespace<CaptionJob>, id: string): DurableObjectStub<CaptionJob> {
  // Asking for an object creates it, so this is done only for a possible job id.
  if (!JOB_ID.test(id)) throw noSuchJob();
  return jobs.getByName(id);
}

function noSuchJob(): FailureError {
  return new FailureError({
    code: "job-not-found",
    detail:
      "There is no job with this id, it belongs to another key, or it was deleted seven days after its end.",
  });
}

/** The key as an HTTP structured string or bare. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ */
function idempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (IDEMPOTENCY_KEY.test(key)) return key;
  throw new FailureError({
    code: "bad-request",
    detail: "Idempotency-Key: expected 1 to 255 visible characters, such as a UUID.",
  });
}

function formatOf(context: Context<AppEnv>): keyof typeof FORMATS {
  const { format } = parseWith(JobResultsQuery, queryOf(context.req.raw), "bad-options");
  if (format !== undefined) return format;
  const [ndjson, csv] = ["application/x-ndjson", "text/csv"];
  const preferred = accepts(context, { header: "Accept", supports: [ndjson, csv], default: ndjson });
  return preferred === csv ? "csv" : "ndjson";
}

/** How the lines of results are written. The code for CSV is loaded when it is asked for, not at every start. */
async function writerOf(
  format: keyof typeof FORMATS,
): Promise<{ readonly head: string; readonly write: (lines: readonly string[]) => string }> {
  if (format === "ndjson") return { head: "", write: (lines) => lines.map((line) => `${line}\n`).join("") };
  const { CSV_HEAD, toCsv } = await import("../jobs/csv.ts");
  return {
    head: CSV_HEAD,
    write: (lines) => toCsv(lines.map((line) => JobLine.parse(JSON.parse(line)))),
  };
}
