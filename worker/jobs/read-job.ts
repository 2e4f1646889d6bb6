/**
 * Reads the request of a job: JSON as a whole, NDJSON as a stream of which at most one line is held. A malformed item
 * becomes a failed line of its own, with its number; only what concerns the whole request is thrown.
 */

import * as z from "zod/mini";
import { contentHash } from "../../shared/content-hash.ts";
import { toHex } from "../../shared/hex.ts";
import { mediaType, parseJsonBody, requireUncoded, withoutNulls } from "../../shared/intake/body.ts";
import { JobItem, JobQuery, JobRequest, type JobWebhook } from "../../shared/jobs.ts";
import { MAX_JOB_BYTES, MAX_JOB_ITEMS } from "../../shared/limits.ts";
import { FailureError } from "../../shared/problem.ts";
import type { CaptionOptions } from "../../shared/schema.ts";
import { readBounded, readInChunks } from "../intake/body.ts";
import { refuseMetadata } from "../intake/metadata.ts";
import { orThrow, parseOptions, parseWith, type Query, requireEnglish } from "../intake/options.ts";
import type { NewItem } from "./ledger.ts";
import { ITEMS_A_CALL } from "./limits.ts";
import { failedOutcome } from "./outcome.ts";

const NDJSON_TYPES: ReadonlySet<string> = new Set([
  "application/x-ndjson",
  "application/ndjson",
  "application/jsonl",
  "application/x-jsonlines",
  "text/x-ndjson",
]);

const LINE_FEED = 0x0a;
/** The longest line that is read; a longer one fails alone. */
const MAX_LINE_BYTES = 64 * 1024;

export interface ReadJob {
  readonly options: CaptionOptions;
  readonly webhook: JobWebhook | undefined;
  /** How many items it has. */
  readonly count: number;
  /** SHA-256 over the body and everything else in the request that decides what the job is. */
  readonly fingerprint: string;
}

interface ReadOptions {
  readonly timeoutMs: number;
  /** Receives the items as they come, in order. */
  readonly add: (items: readonly NewItem[]) => Promise<void>;
}

/**
 * @throws {FailureError} `empty-body`, `bad-request`, `bad-options`, `unsupported-language`, `unsupported-encoding`,
 *   `too-many-items`, `image-too-large` (of the body), `upload-timeout`; and what `add` throws
 */
export async function readJob(request: Request, query: Query, options: ReadOptions): Promise<ReadJob> {
  orThrow(requireUncoded(request));
  const sink = createSink(options.add);
  const read = NDJSON_TYPES.has(mediaType(request))
    ? await readLines(request, query, { ...options, sink })
    : await readJson(request, query, { ...options, sink });
  await sink.flush();
  const count = sink.count();
  if (count > 0) return { ...read, count };
  throw new FailureError({ code: "empty-body", detail: "The job has no items." });
}

/** The fingerprint of a request that is not read otherwise. @throws {FailureError} as `readJob` does for the body */
export async function fingerprintOf(request: Request, query: Query, timeoutMs: number): Promise<string> {
  const digest = createDigest(request, query);
  await readInChunks(request, { maxBytes: MAX_JOB_BYTES, timeoutMs, onChunk: digest.write });
  return digest.end();
}

async function readJson(
  request: Request,
  query: Query,
  { timeoutMs, sink }: ReadOptions & { readonly sink: Sink },
): Promise<Omit<ReadJob, "count">> {
  const bytes = await readBounded(request, { maxBytes: MAX_JOB_BYTES, timeoutMs });
  const json = parseJsonBody(bytes);
  if (!json.ok && isJsonLines(bytes)) {
    const detail =
      "The body looks like NDJSON, one item per line: if it is, set content-type: application/x-ndjson.";
    throw new FailureError({ code: "bad-request", detail });
  }
  const { items, webhook, ...beside } = parseWith(JobRequest, orThrow(json), "bad-request");
  const fromQuery = termsOf(query);
  if (webhook !== undefined && fromQuery.webhook !== undefined) throw twoWebhooks();
  if (items.length > MAX_JOB_ITEMS) throw tooMany();
  for (const [index, item] of items.entries()) await sink.push(toItem(item, `item ${index}`));
  const digest = createDigest(request, query);
  await digest.write(bytes);
  return {
    options: { ...fromQuery.options, ...requireEnglish(beside) },
    webhook: webhook ?? fromQuery.webhook,
    fingerprint: await digest.end(),
  };
}

/** Whether the first of several lines is a value of its own. */
function isJsonLines(bytes: Uint8Array): boolean {
  const end = bytes.indexOf(LINE_FEED);
  return end !== -1 && parseJsonBody(bytes.subarray(0, end)).ok;
}

async function readLines(
  request: Request,
  query: Query,
  { timeoutMs, sink }: ReadOptions & { readonly sink: Sink },
): Promise<Omit<ReadJob, "count">> {
  const { options, webhook } = termsOf(query);
  const digest = createDigest(request, query);
  const lines = createLineReader(async (line, number) => {
    const item = fromLine(line, `line ${number}`);
    if (item !== undefined) await sink.push(item);
    // Nothing else counts blank lines, and the millions that fit into a body would take half a minute of CPU time.
    else if (number - sink.count() > MAX_JOB_ITEMS) throw tooManyBlankLines();
  });
  await readInChunks(request, {
    maxBytes: MAX_JOB_BYTES,
    timeoutMs,
    async onChunk(chunk) {
      await digest.write(chunk);
      await lines.write(chunk);
    },
  });
  await lines.end();
  return { options, webhook, fingerprint: await digest.end() };
}

function termsOf({ webhook, ...query }: Query): { options: CaptionOptions; webhook: JobWebhook | undefined } {
  const given = parseWith(z.pick(JobQuery, { webhook: true }), { webhook }, "bad-options");
  return {
    options: parseOptions(query),
    webhook:
      given.webhook === undefined ? undefined : { url: given.webhook, events: ["caption.job.completed"] },
  };
}

/** The item of a line; undefined for a blank one. */
function fromLine(bytes: Uint8Array | "too long", place: string): NewItem | undefined {
  if (bytes === "too long") return refused(`${place} has more than ${MAX_LINE_BYTES / 1024} KiB`);
  let value: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes).trim();
    if (text === "") return undefined;
    value = JSON.parse(text);
  } catch {
    return refused(`${place} is not JSON in UTF-8`);
  }
  return toItem(value, place);
}

function toItem(value: unknown, place: string): NewItem {
  // Metadata is any JSON, so null comes back too; any other field that is null counts as not given.
  const { id, metadata } = (value ?? {}) as { id?: unknown; metadata?: unknown };
  const ownId = JobItem.shape.id.safeParse(id).data;
  const expected = refuseMetadata(metadata);
  if (expected !== undefined) return refused(`${place}, metadata: ${expected}`, { id: ownId });
  try {
    const item = parseWith(JobItem, withoutNulls(value), "bad-request");
    return { ...item, metadata: jsonOf(metadata) };
  } catch (error) {
    if (!(error instanceof FailureError)) throw error;
    // A malformed item also gets back its id and metadata, if they can be read.
    const own = { id: ownId, metadata: jsonOf(JobItem.shape.metadata.safeParse(metadata).data) };
    return refused(`${place}: ${error.failure.detail}`, own);
  }
}

function jsonOf(metadata: unknown): string | undefined {
  return metadata === undefined ? undefined : JSON.stringify(metadata);
}

function refused(detail: string, own: Pick<NewItem, "id" | "metadata"> = {}): NewItem {
  return { ...own, failed: JSON.stringify(failedOutcome({ code: "bad-request", detail })) };
}

interface Sink {
  push(item: NewItem): Promise<void>;
  flush(): Promise<void>;
  count(): number;
}

function createSink(add: ReadOptions["add"]): Sink {
  let pending: NewItem[] = [];
  let count = 0;
  const flush = async () => {
    if (pending.length === 0) return;
    const items = pending;
    pending = [];
    await add(items);
  };
  return {
    async push(item) {
      count += 1;
      if (count > MAX_JOB_ITEMS) throw tooMany();
      pending.push(item);
      if (pending.length >= ITEMS_A_CALL) await flush();
    },
    flush,
    count: () => count,
  };
}

interface LineReader {
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

/** Splits bytes into lines, numbered from 1, however the chunks are cut. */
function createLineReader(
  onLine: (line: Uint8Array | "too long", number: number) => Promise<void>,
): LineReader {
  let pending = new Uint8Array(0);
  let isTooLong = false;
  let number = 0;

  async function endLine(rest: Uint8Array): Promise<void> {
    number += 1;
    const line = joined(pending, rest);
    await onLine(isTooLong || line.length > MAX_LINE_BYTES ? "too long" : line, number);
    pending = new Uint8Array(0);
    isTooLong = false;
  }

  return {
    async write(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
        await endLine(chunk.subarray(start, end));
        start = end + 1;
      }
      const rest = chunk.subarray(start);
      if (pending.length + rest.length > MAX_LINE_BYTES) isTooLong = true;
      pending = isTooLong ? new Uint8Array(0) : joined(pending, rest);
    },
    async end() {
      if (pending.length > 0 || isTooLong) await endLine(new Uint8Array(0));
    },
  };
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

interface Digest {
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<string>;
}

function createDigest(request: Request, query: Query): Digest {
  const stream = new crypto.DigestStream("SHA-256");
  const writer = stream.getWriter();
  // Nobody will await the digest of a body that was refused.
  stream.digest.catch(() => {});
  const terms = JSON.stringify([mediaType(request), Object.entries(query).sort()]);
  const begun = writer.write(new TextEncoder().encode(`${terms}\n`));
  return {
    async write(chunk) {
      await begun;
      await writer.write(chunk);
    },
    async end() {
      await begun;
      await writer.close();
      return toHex(await stream.digest);
    },
  };
}

function twoWebhooks(): FailureError {
  const detail = "webhook: expected one value, got one in the query and one in the body.";
  return new FailureError({ code: "bad-options", detail });
}

function tooMany(): FailureError {
  return new FailureError({
    code: "too-many-items",
    detail: `A job has at most ${MAX_JOB_ITEMS} items. Nothing of this one was kept; split it into several.`,
  });
}

function tooManyBlankLines(): FailureError {
  return new FailureError({
    code: "bad-request",
    detail: `A job has at most ${MAX_JOB_ITEMS} blank lines. Nothing of this one was kept.`,
  });
}

/**
 * The id of a job. If it has an idempotency key, the id is made from that and the owner, so that the same request finds it
 * again; else it is random.
 */
export async function jobId(owner: string, idempotencyKey: string | undefined): Promise<string> {
  if (idempotencyKey === undefined) {
    return `job_${crypto.getRandomValues(new Uint8Array(16)).toHex()}`;
  }
  const named = new TextEncoder().encode(JSON.stringify([owner, idempotencyKey]));
  return `job_${(await contentHash(new Uint8Array(named))).slice(0, 32)}`;
}
