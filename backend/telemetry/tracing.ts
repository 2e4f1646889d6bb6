/**
 * Traces of caption requests, joined to the caller's trace by its `traceparent` and sent to an OpenTelemetry collector
 * as OTLP over HTTP with JSON. Spans are written after the fact from measured times, so nothing is on the way of a
 * caption; a slow or dead collector costs a bounded buffer and nothing else.
 *
 * https://www.w3.org/TR/trace-context/ and https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
 */

import { randomBytes } from "node:crypto";
import type { StageTimings } from "../captioner/captioner.ts";
import type { Logger } from "./log.ts";
import type { Outcome } from "./metrics.ts";

/** One request that was answered; times are milliseconds since the epoch. */
export interface CaptionTrace {
  readonly traceparent: string | undefined;
  readonly requestId: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly status: number;
  readonly outcome: Outcome;
  readonly timings?: StageTimings | undefined;
}

export interface Tracing {
  /** Notes a request; sent within `FLUSH_EVERY_MS`. */
  record(trace: CaptionTrace): void;
  /** Sends what is noted and stops. */
  close(): Promise<void>;
}

export const NO_TRACING: Tracing = { record() {}, async close() {} };

const FLUSH_EVERY_MS = 5_000;
const EXPORT_TIMEOUT_MS = 5_000;
/** Spans past this are dropped until the collector answers again. */
const MAX_BUFFERED_SPANS = 8_192;

const SERVER_KIND = 2;
const INTERNAL_KIND = 1;
const ERROR_STATUS = 2;

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly Attribute[];
  readonly status?: { readonly code: number };
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue: string } | { readonly intValue: number };
}

/** Sends spans to `endpoint`/v1/traces; a collector that fails is logged and never waited for. */
export function createTracing({ endpoint, log }: { endpoint: string; log: Logger }): Tracing {
  const url = `${endpoint.replace(/\/$/, "")}/v1/traces`;
  let buffer: Span[] = [];

  async function flush(): Promise<void> {
    if (buffer.length === 0) return;
    const spans = buffer;
    buffer = [];
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(exportRequest(spans)),
        signal: AbortSignal.timeout(EXPORT_TIMEOUT_MS),
      });
      await response.body?.cancel();
      if (!response.ok)
        log.warn({ status: response.status, spans: spans.length }, "traces refused by the collector");
    } catch (error) {
      log.warn({ err: error, spans: spans.length }, "traces not sent");
    }
  }

  const timer = setInterval(flush, FLUSH_EVERY_MS);
  timer.unref();
  return {
    record(trace) {
      if (buffer.length < MAX_BUFFERED_SPANS) buffer.push(...toSpans(trace));
    },
    async close() {
      clearInterval(timer);
      await flush();
    },
  };
}

/** The request's span and one a stage; none if the caller decided not to sample this trace. */
function toSpans({
  traceparent,
  requestId,
  startedAtMs,
  endedAtMs,
  status,
  outcome,
  timings,
}: CaptionTrace): Span[] {
  const parent = parseTraceparent(traceparent);
  if (parent?.sampled === false) return [];
  const traceId = parent?.traceId ?? randomBytes(16).toString("hex");
  const root: Span = {
    traceId,
    spanId: newSpanId(),
    ...(parent && { parentSpanId: parent.spanId }),
    name: "POST /",
    kind: SERVER_KIND,
    startTimeUnixNano: toNanoseconds(startedAtMs),
    endTimeUnixNano: toNanoseconds(endedAtMs),
    attributes: [
      { key: "http.request.method", value: { stringValue: "POST" } },
      { key: "http.response.status_code", value: { intValue: status } },
      { key: "caption.outcome", value: { stringValue: outcome } },
      { key: "caption.request_id", value: { stringValue: requestId } },
    ],
    ...(status >= 500 && { status: { code: ERROR_STATUS } }),
  };
  if (timings === undefined) return [root];
  const { startedAtMs: decodeAt, decodeMs, queueMs, inferenceMs } = timings;
  const stage = (name: string, fromMs: number, ms: number): Span => ({
    traceId,
    spanId: newSpanId(),
    parentSpanId: root.spanId,
    name,
    kind: INTERNAL_KIND,
    startTimeUnixNano: toNanoseconds(fromMs),
    endTimeUnixNano: toNanoseconds(fromMs + ms),
  });
  return [
    root,
    stage("decode", decodeAt, decodeMs),
    stage("queue", decodeAt + decodeMs, queueMs),
    stage("inference", decodeAt + decodeMs + queueMs, inferenceMs),
  ];
}

function newSpanId(): string {
  return randomBytes(8).toString("hex");
}

/** Nanoseconds as a decimal string: OTLP's JSON form of a 64-bit integer. */
function toNanoseconds(epochMs: number): string {
  return String(BigInt(Math.round(epochMs * 1000)) * 1000n);
}

/** Version 00 of W3C's header; undefined where it is absent or malformed, which starts a new trace. */
function parseTraceparent(header: string | undefined) {
  const [, traceId, spanId, flags] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(header ?? "") ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

function exportRequest(spans: readonly Span[]) {
  const service: Attribute = { key: "service.name", value: { stringValue: "alt-text-backend" } };
  return {
    resourceSpans: [
      { resource: { attributes: [service] }, scopeSpans: [{ scope: { name: "alt-text-backend" }, spans }] },
    ],
  };
}
