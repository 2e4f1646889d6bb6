/** Describes the route in batch.ts for the OpenAPI document. */

import * as z from "zod/mini";
import { MAX_BATCH_ITEMS } from "../../shared/limits.ts";
import { BatchItem, BatchLine, BatchRequest, CaptionQuery } from "../../shared/schema.ts";
import { BATCH_LINES, BATCH_REQUEST } from "../docs/examples.ts";
import {
  ANSWER_HEADERS,
  GUARDED,
  json,
  named,
  problems,
  QUOTA_HEADERS,
  type RouteDocument,
} from "../docs/parts.ts";
import { BATCH_PATH } from "./batch.ts";

const Request = named(
  "BatchRequest",
  z.extend(BatchRequest, {
    items: z.array(named("BatchItem", BatchItem)).check(z.minLength(1), z.maxLength(MAX_BATCH_ITEMS)),
  }),
);

/** `postBatch` */
export const postBatchRoute = {
  method: "post",
  path: BATCH_PATH.document,
  operationId: "captionBatch",
  tags: ["Captions"],
  summary: "Caption up to 100 pictures",
  description:
    "A line of NDJSON as each item is done, in any order, with its `index`. A bad item fails alone; if its failure passes, `retry_after` says when to send it again.",
  requestParams: { query: CaptionQuery },
  requestBody: { required: true, content: json(Request, BATCH_REQUEST) },
  responses: {
    200: {
      description: "A line for each item.",
      headers: { ...ANSWER_HEADERS, ...QUOTA_HEADERS },
      content: {
        "application/x-ndjson": { schema: named("BatchLine", BatchLine), examples: BATCH_LINES },
      },
    },
    ...problems([
      ...GUARDED,
      "empty-body",
      "bad-request",
      "bad-options",
      "unsupported-language",
      "upload-timeout",
      "image-too-large",
      "unsupported-encoding",
    ]),
  },
} satisfies RouteDocument;
