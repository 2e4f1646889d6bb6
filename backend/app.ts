/** The backend's routes: Hugging Face's image-to-text protocol on `POST /`, and what operates it. No model, no sockets. */

import { createHash, randomUUID, timingSafeEqual } from "node:crypto";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import * as z from "zod";
import {
  CAPTION_SCORE_HEADER,
  DEADLINE_MS_HEADER,
  MODEL_ID_HEADER,
  MODEL_REVISION_HEADER,
  REQUEST_ID_HEADER,
} from "../shared/backend-protocol.ts";
import { type Failure, FailureError, problemResponse } from "../shared/problem.ts";
import { GenerationOptions, type ImageToTextOutput } from "../shared/schema.ts";
import type { Admission } from "./admission.ts";
import type { Captioner, CaptionerAnswer } from "./captioner.ts";
import type { Logger } from "./log.ts";
import type { Metrics, Outcome } from "./metrics.ts";
import { readPictureRequest } from "./request-body.ts";
import { failure, type Result, success } from "./result.ts";

export interface AppOptions {
  readonly captioner: Captioner;
  readonly admission: Admission;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Bearer token of callers; absent where only loopback can call. */
  readonly secret?: string | undefined;
  /** Longest a caption request may take, milliseconds. */
  readonly requestTimeoutMs: number;
  /** True from SIGTERM on: what was accepted is finished, the rest is refused. */
  readonly isDraining: () => boolean;
}

interface Scope {
  Variables: { requestId: string; outcome?: Outcome };
}

const REQUEST_ID = /^[\w.:-]{1,128}$/;
const DeadlineMs = z.coerce.number().int().min(0).optional();
const OVERLOADED: Failure = {
  code: "overloaded",
  detail: "All permits are taken; ask again shortly.",
  retryAfterSeconds: 1,
};
const SHUTTING_DOWN: Failure = {
  code: "shutting-down",
  detail: "This server finishes what it accepted and takes nothing new.",
  retryAfterSeconds: 1,
};

/** The whole HTTP application. @example `await createApp(options).request("/healthz")` */
export function createApp(options: AppOptions): Hono<Scope> {
  const { captioner, metrics, log, isDraining } = options;
  const app = new Hono<Scope>();
  app.use(traceRequest(log), hangUpWhileDraining(isDraining));
  app.onError((error, c) => {
    if (error instanceof FailureError) return problemResponse(error.failure);
    log.error({ err: error, requestId: c.get("requestId") }, "bug");
    return problemResponse({ code: "internal", detail: "The fault is on this side; it was logged." });
  });
  app.notFound(() => problemResponse({ code: "not-found", detail: "There is no such route." }));

  app.get("/healthz", (c) => c.json({ status: "alive" }));
  app.get("/readyz", (c) => (isDraining() ? problemResponse(SHUTTING_DOWN) : c.json({ status: "ready" })));

  if (options.secret !== undefined) app.use(requireSecret(options.secret));
  app.get("/v1/model", (c) => c.json(captioner.model));
  app.get("/metrics", async (c) =>
    c.body(await metrics.render(), 200, { "content-type": metrics.contentType }),
  );
  app.post("/", (c) => answerCaptionRequest(c, options));
  app.all("/", () =>
    problemResponse({ code: "method-not-allowed", detail: "Post a picture here." }, { allow: "POST" }),
  );
  return app;
}

/** Gives every request an id, and every answer a log line. */
function traceRequest(log: Logger): MiddlewareHandler<Scope> {
  return async (c, next) => {
    const startedAt = performance.now();
    const given = c.req.header(REQUEST_ID_HEADER);
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
    c.set("requestId", requestId);
    await next();
    c.header(REQUEST_ID_HEADER, requestId);
    const ms = Math.round(performance.now() - startedAt);
    const line = { requestId, method: c.req.method, path: c.req.path, status: c.res.status, ms };
    const outcome = c.get("outcome");
    if (outcome === undefined) log.debug(line, "request");
    else log.info({ ...line, outcome }, "caption");
  };
}

/** A client that kept its connection would keep the process alive until the connection's idle timeout. */
function hangUpWhileDraining(isDraining: () => boolean): MiddlewareHandler<Scope> {
  return async (c, next) => {
    await next();
    if (isDraining()) c.header("connection", "close");
  };
}

function requireSecret(secret: string): MiddlewareHandler<Scope> {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const expected = digest(`Bearer ${secret}`);
  return async (c, next) => {
    // Digests have one length, so the comparison takes one time whatever was sent.
    if (!timingSafeEqual(digest(c.req.header("authorization") ?? ""), expected)) {
      return problemResponse(
        { code: "unauthorized", detail: "Send the backend's secret as a bearer token." },
        { "www-authenticate": "Bearer" },
      );
    }
    return next();
  };
}

/** Takes a permit before anything is spent on the request, and gives it back however the request ends. */
async function answerCaptionRequest(c: Context<Scope>, options: AppOptions): Promise<Response> {
  const startedAt = performance.now();
  let outcome: Outcome = "internal";
  const permit = options.isDraining() ? undefined : options.admission.tryEnter();
  try {
    if (permit === undefined) {
      const refusal = options.isDraining() ? SHUTTING_DOWN : OVERLOADED;
      outcome = refusal.code;
      return problemResponse(refusal);
    }
    const limit = requestSignal(c.req.raw, options.requestTimeoutMs);
    if (!limit.ok) {
      outcome = limit.failure.code;
      return problemResponse(limit.failure);
    }
    const request = await readRequest(c, permit, limit.value);
    const answer = request.ok
      ? await options.captioner.caption(request.value.bytes, request.value.options, limit.value)
      : request;
    if (!answer.ok) {
      outcome = c.req.raw.signal.aborted ? "gone" : answer.failure.code;
      return problemResponse(answer.failure);
    }
    outcome = answer.value.source;
    options.metrics.captioned(answer.value);
    return captionResponse(answer.value, options.captioner, performance.now() - startedAt);
  } finally {
    permit?.release();
    options.metrics.requestEnded(outcome, (performance.now() - startedAt) / 1000);
    c.set("outcome", outcome);
  }
}

/** Aborts when the caller leaves, when its deadline passes, or when the server's own limit does. */
function requestSignal(request: Request, requestTimeoutMs: number): Result<AbortSignal> {
  const given = DeadlineMs.safeParse(request.headers.get(DEADLINE_MS_HEADER) ?? undefined);
  if (!given.success) {
    return failure("bad-request", `${DEADLINE_MS_HEADER}: expected milliseconds, a whole number.`);
  }
  const timeoutMs = Math.min(given.data ?? requestTimeoutMs, requestTimeoutMs);
  return timeoutMs === 0
    ? failure("deadline-exceeded", "The caller's deadline has passed already.")
    : success(AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]));
}

/** The picture and its options: those of the query go before those of a JSON body. */
async function readRequest(
  c: Context<Scope>,
  permit: Parameters<typeof readPictureRequest>[1],
  signal: AbortSignal,
) {
  const query = GenerationOptions.safeParse(c.req.query());
  if (!query.success) return failure("bad-options", z.prettifyError(query.error));
  const request = await readPictureRequest(c.req.raw, permit, signal);
  return request.ok
    ? success({ bytes: request.value.bytes, options: { ...request.value.options, ...query.data } })
    : request;
}

function captionResponse(
  { caption, score, source, timings }: CaptionerAnswer,
  { model }: Captioner,
  totalMs: number,
) {
  const output: ImageToTextOutput[] = [{ generated_text: caption }];
  const stages = timings && {
    decode: timings.decodeMs,
    queue: timings.queueMs,
    inference: timings.inferenceMs,
  };
  const serverTiming = Object.entries({ ...stages, total: totalMs })
    .map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`)
    .concat(`source;desc="${source}"`);
  return Response.json(output, {
    headers: {
      [MODEL_ID_HEADER]: model.id,
      [MODEL_REVISION_HEADER]: model.revision,
      [CAPTION_SCORE_HEADER]: score.toFixed(6),
      "server-timing": serverTiming.join(", "),
    },
  });
}
