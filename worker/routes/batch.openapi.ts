/** The document of the route in batch.ts. */

import { createRoute, z } from "@hono/zod-openapi";
import { BatchItem, BatchLine, BatchRequest, CaptionQuery } from "../../shared/schema.ts";
import { GUARDED, json, problems } from "../docs/parts.ts";
import { BATCH_PATH } from "./batch.ts";

/** `postBatch` */
export const postBatchRoute = createRoute({
  method: "post",
  path: BATCH_PATH.document,
  summary: "Caption up to 100 pictures",
  description:
    "A line of NDJSON as each item is done, in any order, with its `index`. A bad item fails alone.",
  request: {
    query: CaptionQuery,
    body: {
      required: true,
      content: json(BatchRequest.extend({ items: z.array(BatchItem).min(1).max(100) })),
    },
  },
  responses: {
    200: {
      description: "A line for each item.",
      content: { "application/x-ndjson": { schema: BatchLine } },
    },
    ...problems([
      ...GUARDED,
      "empty-body",
      "bad-request",
      "bad-options",
      "unsupported-language",
      "upload-timeout",
      "image-too-large",
    ]),
  },
});
