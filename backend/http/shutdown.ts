/** Ends the process in good order: SIGTERM or SIGINT drains the server, then the process exits 0. */

import type { Logger } from "../telemetry/log.ts";
import type { RunningServer } from "./server.ts";

/** A second signal while draining changes nothing; what was accepted is finished. */
export function drainOnSignals(server: RunningServer, log: Logger): void {
  let draining = false;
  const stop = async (signal: NodeJS.Signals) => {
    if (draining) return;
    draining = true;
    log.info({ signal }, "draining");
    await server.drain();
    log.info("stopped");
    process.exit(0);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}
