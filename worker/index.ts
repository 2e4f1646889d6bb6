/** The worker's entry: environment in, app out, once for each isolate. */

import { problemResponse } from "../shared/problem.ts";
import { createApp } from "./app.ts";
import type { Bindings } from "./env.ts";
import { consumeJobs } from "./jobs/consumer.ts";
import { createServices, type Services } from "./services.ts";

export { QuotaCounter } from "./access/quota-counter.ts";
export { CaptionJob } from "./jobs/caption-job.ts";

interface Running {
  readonly services: Services;
  readonly app: ReturnType<typeof createApp>;
}

/** The platform hands every request of an isolate the same environment. */
const running = new WeakMap<Bindings, Running>();

function runningIn(env: Bindings): Running {
  const known = running.get(env);
  if (known !== undefined) return known;
  const services = createServices(env);
  const started = { services, app: createApp(services) };
  running.set(env, started);
  return started;
}

export default {
  fetch(request, env, context) {
    let app: Running["app"];
    try {
      app = runningIn(env).app;
    } catch (error) {
      console.error(
        JSON.stringify({
          level: "error",
          service: "worker",
          error: error instanceof Error ? error.message : "unknown",
        }),
      );
      return problemResponse({ code: "internal", detail: "The worker is not configured; its log says how." });
    }
    return app.fetch(request, env, context);
  },
  async queue(batch, env, context) {
    await consumeJobs(batch, { services: runningIn(env).services, background: context });
  },
} satisfies ExportedHandler<Bindings>;
