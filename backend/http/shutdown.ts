/** Ends the process in good order: SIGTERM or SIGINT drains the server, where it listens already, then the process exits 0. */

import type { Logger } from "../telemetry/log.ts";
import type { RunningServer } from "./server.ts";

/**
 * From now on signals end the process, and from the call of what it returns on they drain that server first. A signal that
 * nobody listens for does not end the first process of a container, which would start on and then be killed. A second one
 * changes nothing; what was accepted is finished.
 *
 * @param atRest awaited before a process exits that does not listen yet
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
