/**
 * The OpenAPI 3.1 document, made from the schemas that validate and from the table of problems. Each route is described
 * beside its handler; `test/worker/docs/openapi.test.ts` checks every status in it against a real answer.
 */

import { createDocument, type ZodOpenApiOverride, type ZodOpenApiPathItemObject } from "zod-openapi";
import { postBatchRoute } from "../routes/batch.openapi.ts";
import { deleteCaptionRoute, getCaptionRoute, postCaptionRoute } from "../routes/captions.openapi.ts";
import { getHealthRoute, getReadinessRoute } from "../routes/health.openapi.ts";
import { postImageToTextRoute } from "../routes/hugging-face.openapi.ts";
import {
  deleteJobRoute,
  getJobEventsRoute,
  getJobResultsRoute,
  getJobRoute,
  JobEventSchema,
  postJobRoute,
} from "../routes/jobs.openapi.ts";
import type { RouteDocument } from "./parts.ts";

export type OpenApiDocument = ReturnType<typeof createDocument>;

const ROUTES: readonly RouteDocument[] = [
  postCaptionRoute,
  getCaptionRoute,
  deleteCaptionRoute,
  postBatchRoute,
  postJobRoute,
  getJobRoute,
  deleteJobRoute,
  getJobResultsRoute,
  getJobEventsRoute,
  postImageToTextRoute,
  getHealthRoute,
  getReadinessRoute,
];

const TAGS = [
  { name: "Captions", description: "Pictures in, captions out." },
  { name: "Jobs", description: "Whole libraries, captioned in the background." },
  { name: "Hugging Face", description: "The same for clients that speak Hugging Face's protocol." },
  { name: "Health", description: "For whoever runs the service. No key is needed." },
];

/** The document. It is made before the worker is bundled, by local/pages/build.ts. */
export function openApiDocument(): OpenApiDocument {
  const paths: Record<string, ZodOpenApiPathItemObject> = {};
  for (const { method, path, ...operation } of ROUTES) {
    paths[path] = { ...paths[path], [method]: operation };
  }
  return createDocument(
    {
      openapi: "3.1.0",
      info: {
        title: "Alt text at the edge",
        version: "1",
        description: "A picture in, one line of alt text out; the same bytes are never captioned twice.",
        license: { name: "BSD-3-Clause", url: "https://opensource.org/license/bsd-3-clause" },
      },
      servers: [{ url: "/", description: "Where this document was fetched." }],
      tags: TAGS,
      security: [{ key: [] }],
      components: {
        // Nothing but the content of a string refers to it.
        schemas: { JobEvent: JobEventSchema },
        securitySchemes: {
          key: {
            type: "http",
            scheme: "bearer",
            bearerFormat: "ate_...",
            description:
              "Required if the service admits only keys (`ACCESS=keys`, the default of a deployment). An open service (`ACCESS=open`, as `npm start` " +
              "runs it) needs none, and its document says so. A key's scopes say what it may do: `read`, `caption`, `batch`, `jobs`, `delete`.",
          },
        },
      },
      paths,
    },
    { override: withoutPedantry },
  );
}

/**
 * Takes out what zod adds but readers of an answer must not rely on: that no field is ever added, and zod's own bounds of
 * integers and dates.
 */
const withoutPedantry: ZodOpenApiOverride = ({ zodSchema, jsonSchema }) => {
  const { def } = zodSchema._zod;
  if (def.type === "object" && def.catchall === undefined) delete jsonSchema.additionalProperties;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
};
