/** Severities of log lines, named alike in worker and backend. Pure data. */

import * as z from "zod/mini";

/** The least severe lines that are written, from all lines to none. */
export const LogLevel = z.enum(["debug", "info", "warn", "error", "fatal", "silent"]);
export type LogLevel = z.infer<typeof LogLevel>;
