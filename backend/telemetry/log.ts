/** Structured logs: JSON lines on standard output. Callers never log a picture, a caption's text or a secret. */

import { type Logger, pino } from "pino";
import type { LogLevel } from "../../shared/log-level.ts";

export type { Logger };

/** How much may wait while the output takes nothing, for instance because the disk is full; later lines are dropped. */
const MAX_UNWRITTEN_CHARACTERS = 1024 * 1024;

/** @param level least severe line that is written */
export function createLog(level: LogLevel): Logger {
  return pino(
    {
      level,
      base: { service: "backend" },
      timestamp: pino.stdTimeFunctions.isoTime,
      // The level by name, as the worker writes it.
      formatters: { level: (label) => ({ level: label }) },
    },
    standardOutput(),
  );
}

/**
 * Nobody who waits for a caption needs the log, so the service goes on if the log cannot be written; each line
 * tries again.
 */
function standardOutput() {
  const output = pino.destination({ maxLength: MAX_UNWRITTEN_CHARACTERS });
  let isSaid = false;
  output.on("error", (error: Error) => {
    // Standard error may lead to the same reader, which is gone.
    if (!isSaid) process.stderr.on("error", () => {});
    if (!isSaid) console.error(`The log cannot be written, and lines of it are lost: ${error.message}`);
    isSaid = true;
    // pino calls this when the process exits, and would try the same for ever.
    output.flushSync = () => {};
  });
  return output;
}
