/** Structured logs: JSON lines on standard output. Callers never log a picture, a caption's text or a secret. */

import { type Logger, pino } from "pino";
import type { Config } from "./config.ts";

export type { Logger };

export function createLog({ LOG_LEVEL }: Pick<Config, "LOG_LEVEL">): Logger {
  return pino({ level: LOG_LEVEL, base: { service: "backend" }, timestamp: pino.stdTimeFunctions.isoTime });
}
