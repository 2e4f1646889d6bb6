/** The worker under test, with an environment of its own each time, so that nothing is remembered between tests. */

import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { WorkerVariables } from "../../../worker/config.ts";
import type { Bindings } from "../../../worker/env.ts";
import worker from "../../../worker/index.ts";

export interface Edge {
  /** Answers, and waits for what the worker does after the answer. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Answers without waiting. */
  fetchOnly(path: string, init?: RequestInit): Promise<Response>;
}

/** What `wrangler.toml` gives the worker; the runner of these tests adds variables of its own. */
export const workerEnv = Object.fromEntries(
  Object.entries(env).filter(
    ([name, value]) => typeof value !== "string" || Object.hasOwn(WorkerVariables.shape, name),
  ),
) as unknown as Bindings;

const DEFAULTS = {
  ACCESS: "open",
  LOG_LEVEL: "error",
  BACKEND_URLS: "http://backend-a.test",
};

/** A fresh isolate's worth of state over the given variables and bindings. */
export function startEdge(overrides: Record<string, unknown> = {}): Edge {
  const bindings = { ...workerEnv, ...DEFAULTS, ...overrides } as Bindings;
  const send = (path: string, init: RequestInit | undefined, context: ExecutionContext) =>
    worker.fetch(
      new Request(`https://edge.test${path}`, init) as Parameters<typeof worker.fetch>[0],
      bindings,
      context,
    );
  return {
    async fetch(path, init) {
      const context = createExecutionContext();
      const response = await send(path, init, context);
      // A stream is read by the test while the work goes on.
      if (response.headers.get("content-type") === "application/x-ndjson") return response;
      await waitOnExecutionContext(context);
      return response;
    },
    async fetchOnly(path, init) {
      return send(path, init, createExecutionContext());
    },
  };
}
