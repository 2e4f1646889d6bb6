/** Structured logs: JSON lines on standard output. Callers never log a picture, a caption's text or a secret. */

import { type Logger, pino } from "pino";

export type { Logger };

/** Severities, worst first; `silent` writes nothing. */
export type Level = "fatal" | "error" | "warn" | "info" | "debug" | "silent";

/** @param level least severe line that is written */
export function createLog(level: Level): Logger {
  return pino({ level, base: { service: "backend" }, timestamp: pino.stdTimeFunctions.isoTime });
}
