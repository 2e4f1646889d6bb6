import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { createLog } from "../../../backend/telemetry/log.ts";
import { type CaptionTrace, createTracing } from "../../../backend/telemetry/tracing.ts";

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status?: { code: number };
}

/** A collector on a real port that keeps the spans it is sent. */
async function startCollector(status = 200) {
  const spans: Span[] = [];
  const paths: (string | undefined)[] = [];
  const server = createServer(async (request, response) => {
    paths.push(request.url);
    let body = "";
    for await (const chunk of request) body += chunk;
    spans.push(...JSON.parse(body).resourceSpans[0].scopeSpans[0].spans);
    response.writeHead(status).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, paths };
}

const log = createLog("silent");
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN = "00f067aa0ba902b7";
const trace: CaptionTrace = {
  traceparent: `00-${TRACE_ID}-${CALLER_SPAN}-01`,
  requestId: "r-1",
  startedAtMs: 5_000,
  endedAtMs: 5_060,
  status: 200,
  outcome: "generated",
  timings: { startedAtMs: 5_005, decodeMs: 10, queueMs: 5, inferenceMs: 35 },
};

test("a request joins its caller's trace, and its stages follow each other inside it", async () => {
  const { endpoint, spans, paths } = await startCollector();
  const tracing = createTracing({ endpoint: `${endpoint}/`, log });
  // The clock was set, or the machine slept, since this process began: what counts is what the clock says now.
  const clocks = [
    vi.spyOn(performance, "now").mockReturnValue(5_060),
    vi.spyOn(Date, "now").mockReturnValue(1_700_000_000_060),
  ];
  tracing.record(trace);
  for (const clock of clocks) clock.mockRestore();
  await tracing.close();
  expect(paths).toEqual(["/v1/traces"]);
  expect(spans.map(({ name }) => name)).toEqual(["POST /", "decode", "queue", "inference"]);
  expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE_ID]));
  const [root, decode, queue, inference] = spans;
  expect(root).toMatchObject({
    parentSpanId: CALLER_SPAN,
    startTimeUnixNano: "1700000000000000000",
    endTimeUnixNano: "1700000000060000000",
  });
  for (const stage of [decode, queue, inference]) expect(stage?.parentSpanId).toBe(root?.spanId);
  expect(decode?.endTimeUnixNano).toBe(queue?.startTimeUnixNano);
  expect(queue?.endTimeUnixNano).toBe(inference?.startTimeUnixNano);
});

test("a caller that does not sample is respected; without a caller, or with nonsense, a trace begins here", async () => {
  const { endpoint, spans } = await startCollector();
  const tracing = createTracing({ endpoint, log });
  const { timings: _, ...failed } = trace;
  tracing.record({ ...failed, traceparent: `00-${TRACE_ID}-${CALLER_SPAN}-00` });
  tracing.record({ ...failed, traceparent: undefined });
  tracing.record({
    ...failed,
    traceparent: `00-${"0".repeat(32)}-${CALLER_SPAN}-01`,
    status: 500,
    outcome: "internal",
  });
  await tracing.close();
  expect(spans).toHaveLength(2);
  for (const span of spans) {
    expect(span.parentSpanId).toBeUndefined();
    expect(span.traceId).toMatch(/^[0-9a-f]{32}$/);
  }
  // Unset is 0 or left out: they are one in protobuf.
  expect(spans.map(({ status }) => status?.code || undefined)).toEqual([undefined, 2]);
});

test("a collector that refuses or is gone harms nobody, and is named in the log", async () => {
  const warned = vi.spyOn(log, "warn");
  for (const endpoint of [(await startCollector(503)).endpoint, "http://127.0.0.1:9"]) {
    const tracing = createTracing({ endpoint, log });
    tracing.record(trace);
    await tracing.close();
  }
  await vi.waitFor(() => {
    expect(warned).toHaveBeenCalledWith(
      { reason: expect.stringContaining("ECONNREFUSED"), details: [] },
      "traces are lost: OTEL_EXPORTER_OTLP_ENDPOINT",
    );
  }, 30_000);
});
