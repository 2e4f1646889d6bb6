/**
 * Traces of caption requests, joined to the caller's trace by its `traceparent` and sent to an OpenTelemetry collector.
 * Spans are made after the fact from measured times, so nothing is on the way of a caption; a slow or dead collector
 * costs a bounded buffer and nothing else. Sampling, batches, retries, headers and further resource attributes are the
 * SDK's own `OTEL_*` variables.
 *
 * https://www.w3.org/TR/trace-context/ and https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */

import {
  type Context,
  DiagLogLevel,
  defaultTextMapGetter,
  diag,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import type { StageTimings } from "../captioner/captioner.ts";
import type { Logger } from "./log.ts";
import type { Outcome } from "./metrics.ts";

/** One request that was answered; times are those of `performance.now()`. */
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
  /** Notes a request; it is sent with the next batch. */
  record(trace: CaptionTrace): void;
  /** Sends what is noted, or gives up after `CLOSE_TIMEOUT_MS`, and stops. */
  close(): Promise<void>;
}

export const NO_TRACING: Tracing = { record() {}, async close() {} };

const SERVICE = "alt-text-backend";
/** A collector that does not answer must not hold up a shutdown. */
const CLOSE_TIMEOUT_MS = 3_000;

/** Sends spans to `endpoint`/v1/traces; a collector that fails is logged and never waited for. */
export function createTracing({ endpoint, log }: { endpoint: string; log: Logger }): Tracing {
  const warn = (reason: string, ...details: unknown[]) =>
    log.warn({ reason, details }, "traces are lost: OTEL_EXPORTER_OTLP_ENDPOINT");
  const silent = () => {};
  diag.setLogger(
    { error: warn, warn, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, "")}/v1/traces` });
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ "service.name": SERVICE }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer(SERVICE);
  const propagator = new W3CTraceContextPropagator();
  return {
    record(request) {
      const carrier = request.traceparent === undefined ? {} : { traceparent: request.traceparent };
      addSpans(tracer, propagator.extract(ROOT_CONTEXT, carrier, defaultTextMapGetter), request);
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
      });
      await Promise.race([provider.shutdown().catch((error) => warn(String(error))), timeout]);
      clearTimeout(timer);
    },
  };
}

/** The request's span and one a stage, one after the other. */
function addSpans(tracer: Tracer, parent: Context, request: CaptionTrace): void {
  const { requestId, startedAtMs, endedAtMs, status, outcome, timings } = request;
  // Not `performance.timeOrigin`: the clock may have been set, or the machine have slept, since this process began.
  const epochMs = Date.now() - performance.now();
  const root = tracer.startSpan(
    "POST /",
    {
      kind: SpanKind.SERVER,
      startTime: epochMs + startedAtMs,
      attributes: {
        "http.request.method": "POST",
        "http.response.status_code": status,
        "caption.outcome": outcome,
        "caption.request_id": requestId,
      },
    },
    parent,
  );
  if (status >= 500) root.setStatus({ code: SpanStatusCode.ERROR });
  root.end(epochMs + endedAtMs);
  if (timings !== undefined)
    addStages(tracer, root, { ...timings, startedAtMs: epochMs + timings.startedAtMs });
}

function addStages(tracer: Tracer, root: Span, timings: StageTimings): void {
  const within = trace.setSpan(ROOT_CONTEXT, root);
  let at = timings.startedAtMs;
  for (const [name, ms] of [
    ["decode", timings.decodeMs],
    ["queue", timings.queueMs],
    ["inference", timings.inferenceMs],
  ] as const) {
    const stage = tracer.startSpan(name, { startTime: at }, within);
    at += ms;
    stage.end(at);
  }
}
