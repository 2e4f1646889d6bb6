/** The document of the routes in health.ts. */

import { createRoute, z } from "@hono/zod-openapi";
import { json, problems } from "../docs/parts.ts";
import { HEALTH_PATH, READINESS_PATH } from "./health.ts";

const Health = z.object({ status: z.string() });

/** `getHealth` */
export const getHealthRoute = createRoute({
  method: "get",
  path: HEALTH_PATH.document,
  operationId: "getHealth",
  summary: "Whether this worker runs",
  security: [],
  responses: { 200: { description: "It does.", content: json(Health) }, ...problems(["internal"]) },
});

/** `getReadiness` */
export const getReadinessRoute = createRoute({
  method: "get",
  path: READINESS_PATH.document,
  operationId: "getReadiness",
  summary: "Whether a new picture would be captioned now",
  security: [],
  responses: {
    200: { description: "It would.", content: json(Health) },
    ...problems(["unavailable", "internal"]),
  },
});
