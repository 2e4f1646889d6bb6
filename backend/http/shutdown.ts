/** Ends the process in good order: SIGTERM or SIGINT drains the server, if it listens already, and then exits with 0. */

import type { Logger } from "../telemetry/log.ts";
import type { RunningServer } from "./server.ts";

/**
 * Handles SIGTERM and SIGINT from now on. Without a handler, a signal does not end the first process of a
 * container: it would go on starting and then be killed. A second signal changes nothing; accepted work is still
 * finished.
 *
 * @param atRest awaited before the process exits, if it does not listen yet
 * @returns a function to call with the server once it listens; from then on signals drain it first
 */
export function endOnSignals(log: Logger, atRest: () => Promise<void>): (listening: RunningServer) => void {
  let server: RunningServer | undefined;
  let isEnding = false;
  const stop = async (signal: NodeJS.Signals) => {
    if (isEnding) return;
    isEnding = true;
    if (server === undefined) {
      log.info({ signal }, "stopped before it listened");
      await atRest();
    } else {
      log.info({ signal }, "draining");
      await server.drain();
      log.info("stopped");
    }
    process.exit(0);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  return (listening) => {
    server = listening;
  };
}
