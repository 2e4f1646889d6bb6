/** The HTTP surface: middleware, routes, and the one place where a failure becomes a problem document. */

import { Hono } from "hono";
import { REQUEST_ID_HEADER } from "../shared/backend-protocol.ts";
import { FailureError, problemResponse } from "../shared/problem.ts";
import { logRequest } from "./log.ts";
import { openScope } from "./request-scope.ts";
import { getCaption, postCaption } from "./routes/captions.ts";
import type { AppEnv } from "./routes/context.ts";
import { getHealth, getReadiness } from "./routes/health.ts";
import type { Services } from "./services.ts";

/** The app of one environment. */
export function createApp(services: Services): Hono<AppEnv> {
  const { config } = services;
  const app = new Hono<AppEnv>();

  app.use(async (context, next) => {
    const scope = openScope({
      requestId: context.req.header(REQUEST_ID_HEADER),
      traceparent: context.req.header("traceparent"),
      timeoutMs: config.REQUEST_TIMEOUT_MS,
      background: context.executionCtx,
    });
    context.set("scope", scope);
    await next();
    const { res, error, req } = context;
    res.headers.set(REQUEST_ID_HEADER, scope.requestId);
    res.headers.set("x-content-type-options", "nosniff");
    if (scope.timings.size > 0) res.headers.set("server-timing", serverTiming(scope.timings));
    const unexpected = error instanceof FailureError ? undefined : error;
    logRequest({ config, scope, method: req.method, route: req.path, status: res.status, error: unexpected });
  });

  app.get("/v1/captions/:sha256", getCaption(services));
  app.post("/v1/captions", postCaption({ ...services, fetchPicture: refuse }));
  app.get("/healthz", getHealth);
  app.get("/readyz", getReadiness(services));

  app.notFound(() => problemResponse({ code: "not-found", detail: "See /docs for what there is." }));
  app.onError((error) =>
    problemResponse(
      error instanceof FailureError
        ? error.failure
        : { code: "internal", detail: "The request met a bug of ours; its id is in x-request-id." },
    ),
  );
  return app;
}

/** `Server-Timing`, W3C: milliseconds of each leg. */
function serverTiming(timings: ReadonlyMap<string, number>): string {
  return Array.from(timings, ([leg, ms]) => `${leg};dur=${Math.round(ms * 100) / 100}`).join(", ");
}

async function refuse(): Promise<never> {
  throw new FailureError({ code: "url-refused", detail: "Addresses are not fetched here." });
}
