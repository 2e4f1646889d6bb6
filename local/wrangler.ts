/** Where wrangler is and how it is run here: nothing leaves this machine except what a command says it sends. */

import { createRequire } from "node:module";
import { resolve } from "node:path";

/** wrangler's script, to be run by this Node. */
export const WRANGLER_SCRIPT = resolve(
  createRequire(import.meta.url).resolve("wrangler/package.json"),
  "../bin/wrangler.js",
);

/**
 * No telemetry, no update check, no question, no look-up of this machine's location, no record of requests, no way around
 * the worker.
 */
export const QUIET_WRANGLER: Readonly<Record<string, string>> = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_WRITE_LOGS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  CI: "true",
  // Traces of every request, its whole address included, in a database that only grows.
  X_LOCAL_OBSERVABILITY: "false",
  // A page and an API that read and write keys, captions and jobs, for anybody whom a proxy in front of this port lets
  // through.
  X_LOCAL_EXPLORER: "false",
};
