/** Structured logs: JSON lines on standard output. Callers never log a picture, a caption's text or a secret. */

import { type Logger, pino } from "pino";
import type { LogLevel } from "../../shared/log-level.ts";

export type { Logger };

/** @param level least severe line that is written */
export function createLog(level: LogLevel): Logger {
  return pino({
    level,
    base: { service: "backend" },
    timestamp: pino.stdTimeFunctions.isoTime,
    // By its name, as the worker writes it.
    formatters: { level: (label) => ({ level: label }) },
  });
}
