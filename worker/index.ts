/** The worker's entry: environment in, app out, once for each isolate. */

import { problemResponse } from "../shared/problem.ts";
import { createApp } from "./app.ts";
import type { Bindings } from "./env.ts";
import { createServices } from "./services.ts";

export { QuotaCounter } from "./access/quota-counter.ts";

/** The platform hands every request of an isolate the same environment. */
const apps = new WeakMap<Bindings, ReturnType<typeof createApp>>();

function appOf(env: Bindings): ReturnType<typeof createApp> {
  const known = apps.get(env);
  if (known !== undefined) return known;
  const app = createApp(createServices(env));
  apps.set(env, app);
  return app;
}

export default {
  fetch(request, env, context) {
    let app: ReturnType<typeof createApp>;
    try {
      app = appOf(env);
    } catch (error) {
      console.error(
        JSON.stringify({ level: "error", error: error instanceof Error ? error.message : "unknown" }),
      );
      return problemResponse({ code: "internal", detail: "The worker is not configured; its log says how." });
    }
    return app.fetch(request, env, context);
  },
} satisfies ExportedHandler<Bindings>;
