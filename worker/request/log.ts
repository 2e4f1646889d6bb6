/** Writes one JSON line per request, which never holds a picture, a caption, an address that was fetched, or a key. */

import { LogLevel } from "../../shared/log-level.ts";
import type { RequestScope } from "./scope.ts";

/** From least to most severe. */
const SEVERITIES = LogLevel.options;

/** Longer values are cut, because a sender may make paths and errors as long as they like. */
const MAX_LOGGED_CHARACTERS = 500;
const MAX_LOGGED_WARNINGS = 20;

/** Writes the line of a request that has been answered with `status`. */
export function logRequest(options: {
  /** Less severe lines are not written. */
  readonly leastSevere: LogLevel;
  readonly scope: RequestScope;
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly error?: unknown;
}): void {
  const { leastSevere, scope, method, route, status, error } = options;
  const level = status >= 500 ? "error" : scope.log.warnings.length > 0 ? "warn" : "info";
  if (SEVERITIES.indexOf(level) < SEVERITIES.indexOf(leastSevere)) return;
  const { tier, keyId, bytes, job, warnings, problems } = scope.log;
  const cut = (text: string) => text.slice(0, MAX_LOGGED_CHARACTERS);
  const line = {
    level,
    service: "worker",
    request_id: scope.requestId,
    trace_id: scope.traceparent.split("-")[1],
    method,
    route: cut(route),
    status,
    tier,
    key_id: keyId,
    job,
    bytes,
    ...(problems.size > 0 ? { problems: Object.fromEntries(problems) } : {}),
    legs_ms: Object.fromEntries(Array.from(scope.timings, ([leg, ms]) => [leg, Math.round(ms * 10) / 10])),
    ...(warnings.length > 0 ? { warnings: warnings.slice(0, MAX_LOGGED_WARNINGS).map(cut) } : {}),
    ...(error === undefined
      ? {}
      : { error: error instanceof Error ? (error.stack ?? error.message) : "thrown value" }),
  };
  console[level](JSON.stringify(line));
}
