import { expect, test } from "vitest";
import { createApp } from "../../worker/app.ts";
import { createServices } from "../../worker/services.ts";
import { workerEnv } from "./support/edge.ts";

test("a single expression matches all routes, because Hono's other routers make every hit slower", async () => {
  const app = createApp(createServices(workerEnv));
  await app.request("/healthz");
  expect(app.router.name).toBe("SmartRouter + RegExpRouter");
});
