/** The HTTP surface: middleware, routes, and the one place where a failure becomes a problem document. */

import { Hono } from "hono";
import { cors } from "hono/cors";
import { REQUEST_ID_HEADER } from "../shared/backend-protocol.ts";
import { FailureError, problemResponse } from "../shared/problem.ts";
import { logRequest } from "./log.ts";
import { openScope, outlived } from "./request-scope.ts";
import { postBatch } from "./routes/batch.ts";
import { getCaption, postCaption } from "./routes/captions.ts";
import type { AppEnv } from "./routes/context.ts";
import { getHealth, getReadiness } from "./routes/health.ts";
import { postImageToText } from "./routes/hugging-face.ts";
import {
  getDocs,
  getIcon,
  getOpenApi,
  getPlayground,
  getPlaygroundScript,
  getStyle,
} from "./routes/pages.ts";
import type { Services } from "./services.ts";

/** Headers that a web page of another origin may read. */
const EXPOSED_HEADERS = [
  "cache-status",
  "etag",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
  "server-timing",
  REQUEST_ID_HEADER,
];

/** Methods that any route has. */
const METHODS = ["GET", "POST"] as const;

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
    });
    context.set("scope", scope);
    await next();
    const { res, error, req } = context;
    res.headers.set(REQUEST_ID_HEADER, scope.requestId);
    res.headers.set("x-content-type-options", "nosniff");
    for (const [name, value] of scope.headers) res.headers.set(name, value);
    if (scope.timings.size > 0) res.headers.set("server-timing", serverTiming(scope.timings));
    const unexpected = error instanceof FailureError ? undefined : error;
    const { method, path: route } = req;
    const log = () => logRequest({ config, scope, method, route, status: res.status, error: unexpected });
    if (scope.outliving.length === 0) log();
    else context.executionCtx.waitUntil(outlived(scope).then(log));
  });
  if (config.CORS_ORIGINS.length > 0) {
    const origin = config.CORS_ORIGINS.includes("*") ? "*" : [...config.CORS_ORIGINS];
    app.use(cors({ origin, exposeHeaders: EXPOSED_HEADERS, maxAge: 86_400 }));
  }

  app.get("/v1/captions/:sha256", gate.require("read"), getCaption(services));
  app.post("/v1/captions", gate.require("caption"), postCaption(services));
  app.post(
    "/v1/captions/batch",
    gate.require("batch"),
    postBatch({ ...services, itemTimeoutMs: config.REQUEST_TIMEOUT_MS }),
  );
  app.post(
    "/models/:id{.+}",
    gate.require("caption"),
    postImageToText({ ...services, aliases: config.MODEL_ALIASES }),
  );
  app.get("/healthz", getHealth);
  app.get("/readyz", getReadiness(services));

  app.get("/", getPlayground);
  app.get("/assets/style.css", getStyle);
  app.get("/assets/icon.svg", getIcon);
  app.get("/assets/playground.js", getPlaygroundScript);
  app.get("/docs", getDocs);
  app.get("/openapi.json", getOpenApi);

  app.notFound(({ req }) => {
    const allowed = METHODS.filter((method) => hasRoute(app, method, req.path)).join(", ");
    return allowed === ""
      ? problemResponse({ code: "not-found", detail: "See /docs for what there is." })
      : problemResponse(
          { code: "method-not-allowed", detail: `Allowed here: ${allowed}.` },
          { allow: allowed },
        );
  });
  app.onError((error) =>
    problemResponse(
      error instanceof FailureError
        ? error.failure
        : { code: "internal", detail: `The request met a bug of ours; its id is in ${REQUEST_ID_HEADER}.` },
      error instanceof FailureError && error.failure.code === "unauthorized"
        ? { "www-authenticate": "Bearer" }
        : {},
    ),
  );
  return app;
}

/** Whether anything but middleware answers. Asked only where nothing did: routes for 405 would slow every request down. */
function hasRoute(app: Hono<AppEnv>, method: string, path: string): boolean {
  return app.router.match(method, path)[0].some(([[, route]]) => !route.path.includes("*"));
}

/** `Server-Timing`, W3C: milliseconds of each leg. */
function serverTiming(timings: ReadonlyMap<string, number>): string {
  return Array.from(timings, ([leg, ms]) => `${leg};dur=${Math.round(ms * 100) / 100}`).join(", ");
}
