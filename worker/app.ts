/** The HTTP surface: middleware, routes, and the one place where a failure becomes a problem document. */

import { Hono } from "hono";
import { cors } from "hono/cors";
import { methodNotAllowed } from "hono/method-not-allowed";
import { REQUEST_ID_HEADER } from "../shared/backend-protocol.ts";
import { methodNotAllowedResponse, problemResponse } from "../shared/problem.ts";
import type { AppEnv } from "./request/context.ts";
import { failureOf } from "./request/failure.ts";
import { logRequest } from "./request/log.ts";
import { noteProblem, openScope, outlived } from "./request/scope.ts";
import { BATCH_PATH, postBatch } from "./routes/batch.ts";
import { CAPTION_PATH, CAPTIONS_PATH, deleteCaption, getCaption, postCaption } from "./routes/captions.ts";
import { getHealth, getReadiness, HEALTH_PATH, READINESS_PATH } from "./routes/health.ts";
import { MODEL_PATH, postImageToText, withErrorField } from "./routes/hugging-face.ts";
import {
  deleteJob,
  getJob,
  getJobEvents,
  getJobResults,
  JOB_EVENTS_PATH,
  JOB_PATH,
  JOB_RESULTS_PATH,
  JOBS_PATH,
  postJob,
} from "./routes/jobs.ts";
import { getOpenApi } from "./routes/pages.ts";
import type { Services } from "./services.ts";

/** Headers that a web page of another origin may read. */
const EXPOSED_HEADERS = [
  "allow",
  "cache-status",
  "etag",
  "location",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
  "server-timing",
  "www-authenticate",
  REQUEST_ID_HEADER,
];

/** The app of one environment. */
export function createApp(services: Services): Hono<AppEnv> {
  const { config, gate } = services;
  const app = new Hono<AppEnv>();

  app.use(async (context, next) => {
    const scope = openScope({
      requestId: context.req.header(REQUEST_ID_HEADER),
      traceparent: () => context.req.header("traceparent"),
      timeoutMs: config.REQUEST_TIMEOUT_MS,
      background: context.executionCtx,
      now: services.now,
    });
    context.set("scope", scope);
    await next();
    const { res, error, req } = context;
    for (const [name, value] of scope.headers) res.headers.set(name, value);
    if (scope.timings.size > 0) res.headers.set("server-timing", serverTiming(scope.timings));
    const failure = failureOf(error);
    if (failure !== undefined) noteProblem(scope, failure.code);
    if (failure?.reason !== undefined) scope.log.warnings.push(failure.reason);
    const unexpected = failure === undefined ? error : undefined;
    const { method, path: route } = req;
    const log = () =>
      logRequest({
        leastSevere: config.LOG_LEVEL,
        scope,
        method,
        route,
        status: res.status,
        error: unexpected,
      });
    if (scope.outliving.length === 0) log();
    else context.executionCtx.waitUntil(outlived(scope).then(log));
  });
  if (config.CORS_ORIGINS.length > 0) {
    const origin = config.CORS_ORIGINS.includes("*") ? "*" : [...config.CORS_ORIGINS];
    app.use(
      cors({
        origin,
        allowMethods: ["GET", "HEAD", "POST", "DELETE"],
        exposeHeaders: EXPOSED_HEADERS,
        maxAge: 86_400,
      }),
    );
  }

  const clocked = {
    ...services,
    uploadTimeoutMs: config.UPLOAD_TIMEOUT_MS,
    captionTimeoutMs: config.REQUEST_TIMEOUT_MS,
  };
  app.post(CAPTIONS_PATH.route, gate.require("caption"), postCaption(clocked));
  app.post(BATCH_PATH.route, gate.require("batch"), postBatch(clocked));
  app.get(CAPTION_PATH.route, gate.require("read"), getCaption(services));
  app.delete(CAPTION_PATH.route, gate.require("delete"), deleteCaption(services));
  const jobs = {
    jobs: services.jobs,
    uploadTimeoutMs: config.UPLOAD_TIMEOUT_MS,
    allowedHosts: config.URL_ALLOWED_HOSTS,
  };
  app.post(JOBS_PATH.route, gate.require("jobs"), postJob(jobs));
  app.get(JOB_PATH.route, gate.require("jobs"), getJob(jobs));
  app.delete(JOB_PATH.route, gate.require("jobs"), deleteJob(jobs));
  app.get(JOB_RESULTS_PATH.route, gate.require("jobs"), getJobResults(jobs));
  app.get(JOB_EVENTS_PATH.route, gate.require("jobs"), getJobEvents(jobs));
  app.post(
    MODEL_PATH.route,
    withErrorField,
    gate.require("caption"),
    postImageToText({ ...clocked, aliases: config.MODEL_ALIASES }),
  );
  app.get(HEALTH_PATH.route, getHealth);
  app.get(READINESS_PATH.route, getReadiness(services));

  app.get("/openapi.json", getOpenApi(services));

  // Runs only if no route answered, not before every answer.
  const refuseOtherMethods = methodNotAllowed({
    app,
    onMethodNotAllowed: (_, methods) => methodNotAllowedResponse(methods),
  });
  app.notFound(async (context) => {
    // The batch's path also matches the route of hashes, but does not have its methods. A route of its own for all methods
    // would take from every hit the router that matches with a single expression.
    if (context.req.path === BATCH_PATH.route) return methodNotAllowedResponse(["POST"]);
    context.res = problemResponse({ code: "not-found", detail: "See /docs for what there is." });
    await refuseOtherMethods(context, async () => {});
    return context.res;
  });
  app.onError((error) => {
    const failure = failureOf(error);
    const detail = `The request hit a bug in this service; its id is in ${REQUEST_ID_HEADER}.`;
    const headers = failure?.code === "unauthorized" ? { "www-authenticate": "Bearer" } : {};
    return problemResponse(failure ?? { code: "internal", detail }, headers);
  });
  return app;
}

/** `Server-Timing`, W3C: milliseconds of each leg. */
function serverTiming(timings: ReadonlyMap<string, number>): string {
  return Array.from(timings, ([leg, ms]) => `${leg};dur=${Math.round(ms * 100) / 100}`).join(", ");
}
