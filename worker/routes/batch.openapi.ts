/** The document of the route in batch.ts. */

import { createRoute, z } from "@hono/zod-openapi";
import { MAX_BATCH_ITEMS } from "../../shared/limits.ts";
import { BatchItem, BatchLine, BatchRequest, CaptionQuery } from "../../shared/schema.ts";
import { GUARDED, json, problems } from "../docs/parts.ts";
import { BATCH_PATH } from "./batch.ts";

const Request = BatchRequest.extend({
  items: z
    .array(BatchItem.meta({ id: "BatchItem" }))
    .min(1)
    .max(MAX_BATCH_ITEMS),
}).meta({ id: "BatchRequest" });

/** `postBatch` */
export const postBatchRoute = createRoute({
  method: "post",
  path: BATCH_PATH.document,
  operationId: "captionBatch",
  summary: "Caption up to 100 pictures",
  description:
    "A line of NDJSON as each item is done, in any order, with its `index`. A bad item fails alone.",
  request: {
    query: CaptionQuery,
    body: {
      required: true,
      content: json(Request),
    },
  },
  responses: {
    200: {
      description: "A line for each item.",
      content: { "application/x-ndjson": { schema: BatchLine.meta({ id: "BatchLine" }) } },
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
