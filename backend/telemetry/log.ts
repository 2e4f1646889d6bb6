/** Structured logs: JSON lines on standard output. Callers never log a picture, a caption's text or a secret. */

import { type Logger, pino } from "pino";
import type { LogLevel } from "../../shared/log-level.ts";

export type { Logger };

/** What waits for an output that takes nothing, a full disk for instance; later lines are dropped. */
const MAX_UNWRITTEN_CHARACTERS = 1024 * 1024;

/** @param level least severe line that is written */
export function createLog(level: LogLevel): Logger {
  return pino(
    {
      level,
      base: { service: "backend" },
      timestamp: pino.stdTimeFunctions.isoTime,
      // By its name, as the worker writes it.
      formatters: { level: (label) => ({ level: label }) },
    },
    standardOutput(),
  );
}

/** Whoever waits for a caption does not need the log: where it cannot be written, the service goes on, and each line tries anew. */
function standardOutput() {
  const output = pino.destination({ maxLength: MAX_UNWRITTEN_CHARACTERS });
  let isSaid = false;
  output.on("error", (error: Error) => {
    // Both may lead to one reader that is gone.
    if (!isSaid) process.stderr.on("error", () => {});
    if (!isSaid) console.error(`The log cannot be written, and lines of it are lost: ${error.message}`);
    isSaid = true;
    // What pino calls at the process's exit: it would try the same for ever.
    output.flushSync = () => {};
  });
  return output;
}
