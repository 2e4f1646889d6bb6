/** `POST /`: handles one caption request from permit to answer, and records it. No model, no sockets. */

import type { Context, Handler } from "hono";
import * as z from "zod";
import {
  CAPTION_OWNER_HEADER,
  CAPTION_PRIORITY_HEADER,
  CAPTION_SCORE_HEADER,
  CAPTION_SOURCE_HEADER,
  DEADLINE_MS_HEADER,
  encodeModelId,
  MODEL_ID_HEADER,
  MODEL_REVISION_HEADER,
  PICTURE_SCORE_HEADER,
} from "../../shared/backend-protocol.ts";
import { type ImageToText, wantsObject } from "../../shared/intake/image-to-text.ts";
import { givenFields, parseWith } from "../../shared/intake/options.ts";
import { type Failure, FailureError, problemResponse } from "../../shared/problem.ts";
import { failed, failure, type Result, success } from "../../shared/result.ts";
import { GenerationOptions, type ImageToTextOutput } from "../../shared/schema.ts";
import type { Captioner, CaptionerAnswer } from "../captioner/captioner.ts";
import type { Metrics, Outcome } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import type { Admission, Permit } from "./admission.ts";
import { readPictureRequest } from "./request-body.ts";

export interface CaptionRouteOptions {
  readonly captioner: Captioner;
  readonly admission: Admission;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  /** Longest time a body may take to arrive, and then again a caption to be made, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** True from SIGTERM on: accepted requests are finished, new ones are refused. */
  readonly isDraining: () => boolean;
}

/** What a request carries through the app. */
export interface Scope {
  Variables: { requestId: string; outcome?: Outcome; reason?: string | undefined };
}

export const SHUTTING_DOWN: Failure = {
  code: "shutting-down",
  detail: "This server is finishing what it has accepted and takes nothing new.",
  retryAfterSeconds: 1,
};

const DeadlineMs = z
  .stringFormat("milliseconds", /^\d{1,15}$/)
  .transform(Number)
  .optional();

/** The route's handler. Whatever happens to a request, its permit is given back and its outcome is counted and traced. */
export function createCaptionRoute(options: CaptionRouteOptions): Handler<Scope> {
  const { captioner, metrics, tracing } = options;
  return async (c) => {
    const startedAt = performance.now();
    let outcome: Outcome = "internal";
    let status = 500;
    let timings: CaptionerAnswer["timings"];
    try {
      const answer = await captionWithPermit(c, options);
      let response: Response;
      if (answer.ok) {
        outcome = answer.value.source;
        timings = answer.value.timings;
        metrics.captioned(answer.value);
        response = captionResponse(c.req.raw.headers, answer.value, captioner, performance.now() - startedAt);
      } else {
        outcome = c.req.raw.signal.aborted ? "gone" : answer.failure.code;
        c.set("reason", answer.failure.reason);
        response = problemResponse(answer.failure);
      }
      status = response.status;
      return response;
    } finally {
      const endedAt = performance.now();
      c.set("outcome", outcome);
      metrics.requestEnded(outcome, (endedAt - startedAt) / 1000);
      tracing.record({
        traceparent: c.req.header("traceparent"),
        requestId: c.get("requestId"),
        startedAtMs: startedAt,
        endedAtMs: endedAt,
        status,
        outcome,
        timings,
      });
    }
  };
}

/** Takes a permit before anything is spent on the request. */
async function captionWithPermit(
  c: Context<Scope>,
  { captioner, admission, requestTimeoutMs, isDraining }: CaptionRouteOptions,
): Promise<Result<CaptionerAnswer>> {
  if (isDraining()) return failed(SHUTTING_DOWN);
  const isBackground = c.req.header(CAPTION_PRIORITY_HEADER) === "background";
  const permit = admission.tryEnter({ isBackground });
  if (permit === undefined) {
    return failure("overloaded", "All permits are taken; ask again when one is free.", {
      retryAfterSeconds: Math.max(1, Math.ceil(captioner.backlogSeconds)),
    });
  }
  try {
    const timeoutMs = captionTimeoutMs(c.req.raw, requestTimeoutMs);
    if (!timeoutMs.ok) return timeoutMs;
    const upload = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(requestTimeoutMs)]);
    const request = await readRequest(c, permit, upload);
    if (!request.ok) return request;
    // A caption's time limit starts once its upload is complete.
    const signal = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(timeoutMs.value)]);
    return await captioner.caption(request.value.bytes, request.value.options, {
      signal,
      owner: c.req.header(CAPTION_OWNER_HEADER),
      isBackground,
      onBytesInUse: (until) => permit.holdBytesUntil(until),
    });
  } catch (error) {
    if (error instanceof FailureError) return failed(error.failure);
    throw error;
  } finally {
    permit.release();
  }
}

/** How long the caller will wait for a caption, limited by the server's own timeout. */
function captionTimeoutMs(request: Request, requestTimeoutMs: number): Result<number> {
  const given = DeadlineMs.safeParse(request.headers.get(DEADLINE_MS_HEADER) ?? undefined);
  if (!given.success) {
    return failure("bad-request", `${DEADLINE_MS_HEADER}: expected a whole number of milliseconds.`);
  }
  const timeoutMs = Math.min(given.data ?? requestTimeoutMs, requestTimeoutMs);
  return timeoutMs === 0
    ? failure("deadline-exceeded", "The caller's deadline has already passed.")
    : success(timeoutMs);
}

/** The picture and its options; options in a JSON body override those in the query. */
async function readRequest(
  c: Context<Scope>,
  permit: Permit,
  signal: AbortSignal,
): Promise<Result<ImageToText>> {
  const given = givenFields(new URL(c.req.url).searchParams);
  if (!given.ok) return given;
  const query = parseWith(GenerationOptions, given.value, "bad-options");
  if (!query.ok) return query;
  const request = await readPictureRequest(c.req.raw, permit, signal);
  return request.ok
    ? success({ bytes: request.value.bytes, options: { ...query.value, ...request.value.options } })
    : request;
}

function captionResponse(
  asked: Headers,
  { caption, score, picture_score, source, timings }: CaptionerAnswer,
  { model }: Captioner,
  totalMs: number,
): Response {
  const output: ImageToTextOutput = { generated_text: caption };
  const stages = timings && {
    decode: timings.decodeMs,
    queue: timings.queueMs,
    inference: timings.inferenceMs,
  };
  const serverTiming = Object.entries({ ...stages, total: totalMs })
    .map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`)
    .concat(`source;desc="${source}"`);
  return Response.json(wantsObject(asked) ? output : [output], {
    headers: {
      [MODEL_ID_HEADER]: encodeModelId(model.id),
      [MODEL_REVISION_HEADER]: model.revision,
      [CAPTION_SCORE_HEADER]: String(score),
      ...(picture_score !== undefined && { [PICTURE_SCORE_HEADER]: String(picture_score) }),
      [CAPTION_SOURCE_HEADER]: source,
      "server-timing": serverTiming.join(", "),
    },
  });
}
