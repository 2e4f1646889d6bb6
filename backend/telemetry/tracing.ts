/**
 * Traces of caption requests, joined to the caller's trace by its `traceparent` and sent to an OpenTelemetry
 * collector. Spans are made afterwards from measured times, so they never delay a caption; a slow or dead collector
 * costs no more than a bounded buffer. Sampling, batches, retries, headers and further resource attributes are set
 * by the SDK's own `OTEL_*` variables.
 *
 * https://www.w3.org/TR/trace-context/ and
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
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

/** One answered request; times are by `performance.now()`. */
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
  /** Records a request, which is sent with the next batch. */
  record(trace: CaptionTrace): void;
  /** Sends what was recorded, or gives up after `CLOSE_TIMEOUT_MS`, and stops. */
  close(): Promise<void>;
}

export const NO_TRACING: Tracing = { record() {}, async close() {} };

const SERVICE = "alt-text-backend";
/** A collector that does not answer must not hold up a shutdown. */
const CLOSE_TIMEOUT_MS = 3_000;

/** Sends spans to `endpoint`/v1/traces. Failures of the collector are logged and never waited for. */
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

/** Adds the request's span and one span per stage, in order. */
function addSpans(tracer: Tracer, parent: Context, request: CaptionTrace): void {
  const { requestId, startedAtMs, endedAtMs, status, outcome, timings } = request;
  // `performance.timeOrigin` would be wrong if the clock was set, or the machine slept, since this process began.
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
