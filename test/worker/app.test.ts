import { expect, test } from "vitest";
import { createApp } from "../../worker/app.ts";
import { createServices } from "../../worker/services.ts";
import { workerEnv } from "./support/edge.ts";

test("routes are such that one expression matches them all: Hono's other routers cost every hit more", async () => {
  const app = createApp(createServices(workerEnv));
  await app.request("/healthz");
  expect(app.router.name).toBe("SmartRouter + RegExpRouter");
});
