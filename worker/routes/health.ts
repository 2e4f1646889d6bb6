/** `GET /healthz` (this worker runs) and `GET /readyz` (a picture would be captioned now). */

import type { Handler } from "hono";
import { NOT_STORED, problemResponse } from "../../shared/problem.ts";
import type { BackendPool } from "../backends/pool.ts";
import type { AppEnv } from "../request/context.ts";
import { singleFlight } from "../request/single-flight.ts";

/** The paths, as the router and as the OpenAPI document write them. */
export const HEALTH_PATH = { route: "/healthz", document: "/healthz" } as const;
export const READINESS_PATH = { route: "/readyz", document: "/readyz" } as const;

const READY_TIMEOUT_MS = 2_000;
const RETRY_AFTER_SECONDS = 5;
/** Anybody may ask as often as they like; the captioners are asked only once in this time. */
const ASK_EVERY_MS = 1_000;

export const getHealth: Handler<AppEnv> = (context) => context.json({ status: "ok" }, 200, NOT_STORED);

export function getReadiness(parts: {
  readonly pool: BackendPool;
  readonly now: () => number;
}): Handler<AppEnv> {
  const { pool, now } = parts;
  let last: (Awaited<ReturnType<BackendPool["ready"]>> & { readonly askedAt: number }) | undefined;
  const ask = singleFlight(
    async () => {
      const askedAt = now();
      last = { ...(await pool.ready(READY_TIMEOUT_MS)), askedAt };
      return last;
    },
    { maxMs: READY_TIMEOUT_MS, now },
  );
  return async (context) => {
    const isFresh = last !== undefined && now() - last.askedAt < ASK_EVERY_MS;
    const { isReady, warnings } = (isFresh ? last : undefined) ?? (await ask(undefined));
    if (!isFresh) context.var.scope.log.warnings.push(...warnings);
    if (isReady) return context.json({ status: "ready" }, 200, NOT_STORED);
    return problemResponse({
      code: "unavailable",
      detail: "No captioner is ready; captions already made are still served.",
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  };
}
