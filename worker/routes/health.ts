/** `GET /healthz` (this worker runs) and `GET /readyz` (a picture would be captioned now). */

import type { Handler } from "hono";
import { problemResponse } from "../../shared/problem.ts";
import type { BackendPool } from "../backends/pool.ts";
import type { AppEnv } from "../request/context.ts";

/** Where these are: for the router, and as the OpenAPI document writes it. */
export const HEALTH_PATH = { route: "/healthz", document: "/healthz" } as const;
export const READINESS_PATH = { route: "/readyz", document: "/readyz" } as const;

const READY_TIMEOUT_MS = 2_000;
const RETRY_AFTER_SECONDS = 5;

export const getHealth: Handler<AppEnv> = (context) => context.json({ status: "ok" });

export function getReadiness(parts: { readonly pool: BackendPool }): Handler<AppEnv> {
  return async (context) => {
    if (await parts.pool.ready(READY_TIMEOUT_MS)) return context.json({ status: "ready" });
    return problemResponse({
      code: "unavailable",
      detail: "No captioner is ready; captions already made are still served.",
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  };
}
