/** Starts the app on a port, and stops it without dropping requests that it has accepted. */

import { createServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { Tokenizer } from "../bundle/tokenizer.ts";
import { createCaptioner, pixelFormat } from "../captioner/captioner.ts";
import type { Engine } from "../engines/engine.ts";
import { startDecoder } from "../picture/decoder.ts";
import { PICTURE_LIMITS } from "../picture/limits.ts";
import { createPixelMemory } from "../picture/pixel-memory.ts";
import type { Logger } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { createTracing, NO_TRACING } from "../telemetry/tracing.ts";
import { createAdmission } from "./admission.ts";
import { createApp } from "./app.ts";

/** The settings from backend/config.ts that a server needs. */
export interface ServerConfig {
  readonly HOST: string;
  readonly PORT: number;
  readonly THREADS: number;
  readonly MAX_BATCH_SIZE: number;
  readonly MAX_REQUESTS: number;
  readonly MAX_HELD_BYTES: number;
  readonly REQUEST_TIMEOUT_MS: number;
  readonly RECENT_CAPTIONS: number;
  readonly DRAIN_TIMEOUT_MS: number;
  readonly BACKEND_SECRET?: string | undefined;
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
}

export interface ServerOptions {
  readonly config: ServerConfig;
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly log: Logger;
}

export interface RunningServer {
  /** Where it listens, e.g. `http://127.0.0.1:8788`. */
  readonly url: string;
  /** Refuses new work, finishes accepted work or waits at most `DRAIN_TIMEOUT_MS`, then closes server and engine. */
  drain(): Promise<void>;
}

/**
 * How long an idle connection is kept. Cloudflare's proxy keeps one for 900 seconds and cloudflared for 90, and
 * they must close first: otherwise a request may meet our close on its way, and a POST is not sent again.
 * https://developers.cloudflare.com/fundamentals/reference/connection-limits/
 */
const KEEP_ALIVE_MS = 905_000;

/** Node's default limit for a request to arrive, in milliseconds. */
const SLOWEST_REQUEST_MS = 300_000;
/** Time left for the app to answer before Node hangs up. */
const HANG_UP_AFTER_MS = 10_000;

/**
 * How often draining hangs up on idle connections. It waits in between because the first request of a new one may
 * be on its way.
 */
const SWEEP_MS = 1_000;

/** Most decoding lanes; each is a process of its own. */
const MAX_DECODE_LANES = 16;

/** Warms the model up, then listens. Rejects if the port is taken. */
export async function startServer({ config, engine, tokenizer, log }: ServerOptions): Promise<RunningServer> {
  let draining = false;
  const admission = createAdmission({
    maxRequests: config.MAX_REQUESTS,
    maxHeldBytes: config.MAX_HELD_BYTES,
  });
  const decodeLanes = Math.min(MAX_DECODE_LANES, config.THREADS);
  const format = pixelFormat(engine.bundle);
  const pixelMemory = createPixelMemory(format, { most: 2 * config.MAX_BATCH_SIZE });
  const captioner = createCaptioner({
    engine,
    tokenizer,
    maxBatchSize: config.MAX_BATCH_SIZE,
    decodeLanes,
    startDecoder: () => startDecoder({ format, limits: PICTURE_LIMITS, memory: pixelMemory }),
    onPixelsRead: pixelMemory.giveBack,
    recentCaptions: config.RECENT_CAPTIONS,
    onForwardPass: (pass) => metrics.forwardPassEnded(pass),
  });
  const metrics = createMetrics({
    model: captioner.model,
    queueDepth: () => captioner.queueDepth,
    inFlight: () => admission.inFlight,
  });
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } = config;
  const tracing = endpoint === undefined ? NO_TRACING : createTracing({ endpoint, log });
  const app = createApp({
    captioner,
    admission,
    metrics,
    tracing,
    log,
    secret: config.BACKEND_SECRET,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
    isDraining: () => draining,
  });
  await captioner.warmUp();
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      // If a body is too slow, the app answers; with a shorter limit Node would hang up before it.
      requestTimeout: Math.max(SLOWEST_REQUEST_MS, config.REQUEST_TIMEOUT_MS + HANG_UP_AFTER_MS),
    },
    // HTTP/1.0 has no Host header, and a load balancer's health check may use it.
    getRequestListener(app.fetch, { hostname: "localhost" }),
  );
  const connections = new Set<Socket>();
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  await listen(server, config);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.HOST.includes(":") ? `[${config.HOST}]` : config.HOST}:${port}`,
    async drain() {
      draining = true;
      await closeWithin(server, connections, config.DRAIN_TIMEOUT_MS);
      captioner.close();
      await Promise.all([engine.close(), tracing.close()]);
    },
  };
}

function listen(server: Server, { HOST, PORT }: ServerConfig): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(PORT, HOST, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/**
 * Stops listening. Connections that still wait for an answer are kept, up to `timeoutMs`. Those that have never
 * sent anything, as browsers and load balancers open them in advance, are closed, because Node counts them as busy.
 */
async function closeWithin(
  server: Server,
  connections: ReadonlySet<Socket>,
  timeoutMs: number,
): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  const sweep = setInterval(() => {
    // Also closes those whose last answer was still being sent when `close` hung up on the idle ones.
    server.closeIdleConnections();
    for (const socket of connections) if (socket.bytesRead === 0) socket.destroy();
  }, SWEEP_MS);
  const deadline = setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(deadline);
}
