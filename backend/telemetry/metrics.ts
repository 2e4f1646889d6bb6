/** Metrics for Prometheus. Each app has its own registry, so that tests do not share numbers. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ProblemCode } from "../../shared/problem.ts";
import type { BackendModel } from "../../shared/schema.ts";
import type { ForwardPass } from "../captioner/batcher.ts";
import type { CaptionerAnswer, CaptionSource } from "../captioner/captioner.ts";

/** How a caption request ended: the source of its caption, the code of its failure, or "gone" if its caller left. */
export type Outcome = CaptionSource | ProblemCode | "gone";

/** 1 ms to 60 s, about three steps per decade. */
const SECONDS_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

export interface MetricsSources {
  readonly model: BackendModel;
  readonly queueDepth: () => number;
  readonly inFlight: () => number;
}

export interface Metrics {
  requestEnded(outcome: Outcome, seconds: number): void;
  captioned(answer: CaptionerAnswer): void;
  forwardPassEnded(pass: ForwardPass): void;
  readonly contentType: string;
  /** The Prometheus text format. */
  render(): Promise<string>;
}

export function createMetrics({ model, queueDepth, inFlight }: MetricsSources): Metrics {
  const register = new Registry();
  register.setDefaultLabels({ model_id: model.id, model_revision: model.revision });
  collectDefaultMetrics({ register });
  const registers = [register];
  const secondsOf = (name: string, help: string) =>
    new Histogram({ name, help, buckets: SECONDS_BUCKETS, registers });

  const requests = new Counter({
    name: "caption_requests_total",
    help: "Caption requests by outcome: a source of the caption, a problem code, or gone.",
    labelNames: ["outcome"],
    registers,
  });
  const requestSeconds = secondsOf("caption_request_seconds", "From the permit to the answer.");
  const decodeSeconds = secondsOf(
    "caption_decode_seconds",
    "Decoding and resizing a picture, waiting included.",
  );
  const queueSeconds = secondsOf(
    "caption_queue_seconds",
    "From the end of decoding to the start of the forward pass.",
  );
  const inferenceSeconds = secondsOf("caption_inference_seconds", "One forward pass.");
  const passes = new Counter({ name: "caption_forward_passes_total", help: "Forward passes.", registers });
  const batchSize = new Histogram({
    name: "caption_batch_size",
    help: "Pictures in one forward pass.",
    buckets: BATCH_BUCKETS,
    registers,
  });
  const cacheHits = new Counter({
    name: "caption_cache_hits_total",
    help: "Captions that cost no forward pass of their own: remembered or joined.",
    labelNames: ["kind"],
    registers,
  });
  new Gauge({
    name: "caption_queue_depth",
    help: "Pictures that wait for a forward pass.",
    registers,
    collect() {
      this.set(queueDepth());
    },
  });
  new Gauge({
    name: "caption_requests_in_flight",
    help: "Caption requests that hold a permit.",
    registers,
    collect() {
      this.set(inFlight());
    },
  });

  return {
    requestEnded(outcome, seconds) {
      requests.inc({ outcome });
      requestSeconds.observe(seconds);
    },
    captioned({ source, timings }) {
      if (source !== "generated") cacheHits.inc({ kind: source });
      if (timings === undefined) return;
      decodeSeconds.observe(timings.decodeMs / 1000);
      queueSeconds.observe(timings.queueMs / 1000);
    },
    forwardPassEnded({ batchSize: size, seconds }) {
      passes.inc();
      batchSize.observe(size);
      inferenceSeconds.observe(seconds);
    },
    contentType: register.contentType,
    render: () => register.metrics(),
  };
}
