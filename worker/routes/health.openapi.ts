/** Describes the routes in health.ts for the OpenAPI document. */

import * as z from "zod/mini";
import { json, problems, REQUEST_ID, type RouteDocument } from "../docs/parts.ts";
import { HEALTH_PATH, READINESS_PATH } from "./health.ts";

const Health = z.object({ status: z.string() });
const says = (status: string) => ({
  headers: REQUEST_ID,
  content: json(Health, { [status]: { summary: "The whole answer", value: { status } } }),
});

/** `getHealth` */
export const getHealthRoute = {
  method: "get",
  path: HEALTH_PATH.document,
  operationId: "getHealth",
  tags: ["Health"],
  summary: "Check that this worker runs",
  security: [],
  responses: { 200: { description: "The worker runs.", ...says("ok") }, ...problems(["internal"]) },
} satisfies RouteDocument;

/** `getReadiness` */
export const getReadinessRoute = {
  method: "get",
  path: READINESS_PATH.document,
  operationId: "getReadiness",
  tags: ["Health"],
  summary: "Check that a new picture would be captioned now",
  security: [],
  responses: {
    200: { description: "A new picture would be captioned.", ...says("ready") },
    ...problems(["unavailable", "internal"]),
  },
} satisfies RouteDocument;
