/**
 * The backend's routes: Hugging Face's image-to-text protocol on `POST /`, and the operators' routes. No model, no
 * sockets.
 */

import { createHash, randomUUID, timingSafeEqual } from "node:crypto";
import { Hono, type MiddlewareHandler } from "hono";
import { methodNotAllowed } from "hono/method-not-allowed";
import { REQUEST_ID_HEADER } from "../../shared/backend-protocol.ts";
import { methodNotAllowedResponse, NOT_STORED, problemResponse } from "../../shared/problem.ts";
import type { Logger } from "../telemetry/log.ts";
import { type CaptionRouteOptions, createCaptionRoute, type Scope, SHUTTING_DOWN } from "./caption-route.ts";

export interface AppOptions extends CaptionRouteOptions {
  readonly log: Logger;
  /** Bearer token that callers must send; absent if only loopback can call. */
  readonly secret?: string | undefined;
}

const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** The whole HTTP application. @example `await createApp(options).request("/healthz")` */
export function createApp(options: AppOptions): Hono<Scope> {
  const { captioner, metrics, log, isDraining } = options;
  const app = new Hono<Scope>();
  app.use(
    identifyRequest(log),
    hangUpWhileDraining(isDraining),
    methodNotAllowed({ app, onMethodNotAllowed: (_, methods) => methodNotAllowedResponse(methods) }),
  );
  app.onError((error, c) => {
    log.error({ err: error, request_id: c.get("requestId") }, "bug");
    return problemResponse({ code: "internal", detail: "The fault is the server's; it was logged." });
  });
  app.notFound(() => problemResponse({ code: "not-found", detail: "There is no such route." }));

  app.get("/healthz", (c) => c.json({ status: "alive" }, 200, NOT_STORED));
  app.get("/readyz", async (c) => {
    if (isDraining()) return problemResponse(SHUTTING_DOWN);
    const unreadiness = await captioner.unreadiness();
    return unreadiness === undefined
      ? c.json({ status: "ready" }, 200, NOT_STORED)
      : problemResponse(unreadiness);
  });

  if (options.secret !== undefined) app.use(requireSecret(options.secret));
  app.get("/v1/model", (c) => c.json(captioner.model, 200, NOT_STORED));
  app.get("/metrics", async (c) =>
    c.body(await metrics.render(), 200, { "content-type": metrics.contentType, ...NOT_STORED }),
  );
  app.post("/", createCaptionRoute(options));
  return app;
}

/** Gives every request an id, and logs every answer. */
function identifyRequest(log: Logger): MiddlewareHandler<Scope> {
  return async (c, next) => {
    const startedAt = performance.now();
    const given = c.req.header(REQUEST_ID_HEADER);
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
    c.set("requestId", requestId);
    await next();
    c.header(REQUEST_ID_HEADER, requestId);
    const ms = Math.round(performance.now() - startedAt);
    const line = { request_id: requestId, method: c.req.method, route: c.req.path, status: c.res.status, ms };
    const outcome = c.get("outcome");
    // All requests of an edge with another secret are refused.
    if (c.res.status === 401) log.warn(line, "the secret is not BACKEND_SECRET");
    else if (outcome === undefined) log.debug(line, "request");
    else {
      const reason = c.get("reason");
      // A picture that cannot be read has a reason too, but is not our fault.
      const isOurs = reason !== undefined && c.res.status >= 500;
      log[isOurs ? "warn" : "info"]({ ...line, outcome, reason }, "caption");
    }
  };
}

/**
 * Closes connections while draining, because one that a client keeps open would keep the process alive until its
 * idle timeout.
 */
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
    // Digests all have the same length, so the comparison takes the same time whatever was sent.
    if (!timingSafeEqual(digest(c.req.header("authorization") ?? ""), expected)) {
      return problemResponse(
        { code: "unauthorized", detail: "Send the backend's secret as a bearer token." },
        { "www-authenticate": "Bearer" },
      );
    }
    return next();
  };
}
