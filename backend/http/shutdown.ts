/** Ends the process in good order: SIGTERM or SIGINT drains the server, where it listens already, then the process exits 0. */

import type { Logger } from "../telemetry/log.ts";
import type { RunningServer } from "./server.ts";

/**
 * For the time until there is something to drain: a signal that nobody listens for does not end the first process of a
 * container, which would start on and then be killed. Call what it returns when the server listens.
 */
export function exitOnSignals(log: Logger): () => void {
  const stop = (signal: NodeJS.Signals) => {
    log.info({ signal }, "stopped before it listened");
    process.exit(0);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  return () => {
    process.off("SIGTERM", stop);
    process.off("SIGINT", stop);
  };
}

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
