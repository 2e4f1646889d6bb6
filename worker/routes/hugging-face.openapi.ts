/** Describes the route in hugging-face.ts for the OpenAPI document. */

import * as z from "zod/mini";
import { CaptionQuery, ImageToTextOutput, ImageToTextRequest } from "../../shared/schema.ts";
import { EXAMPLE_MODEL, IMAGE_TO_TEXT, IMAGE_TO_TEXT_REQUEST } from "../docs/examples.ts";
import {
  Binary,
  CACHE_HEADERS,
  GUARDED,
  json,
  named,
  PICTURE,
  problems,
  QUOTA_HEADERS,
  type RouteDocument,
} from "../docs/parts.ts";
import { MODEL_PATH } from "./hugging-face.ts";

const Output = named("ImageToTextOutput", ImageToTextOutput);

/** `postImageToText` */
export const postImageToTextRoute = {
  method: "post",
  path: MODEL_PATH.document,
  operationId: "imageToText",
  tags: ["Hugging Face"],
  summary: "Caption a picture for a Hugging Face client",
  description:
    "Hugging Face's image-to-text protocol. The answer is an array; for `@huggingface/inference` and browsers, which " +
    "read nothing else, it is the bare object.",
  requestParams: {
    path: z.object({
      id: z.string().register(z.globalRegistry, {
        description: "Id of the model, slashes included.",
        examples: [EXAMPLE_MODEL],
      }),
    }),
    query: CaptionQuery,
  },
  requestBody: {
    required: true,
    content: {
      "application/octet-stream": { schema: Binary },
      ...json(named("ImageToTextRequest", ImageToTextRequest), IMAGE_TO_TEXT_REQUEST),
    },
  },
  responses: {
    200: {
      description: "What the model said.",
      headers: { ...CACHE_HEADERS, ...QUOTA_HEADERS },
      content: json(z.union([z.array(Output), Output]), IMAGE_TO_TEXT),
    },
    ...problems([...GUARDED, ...PICTURE, "model-not-found"]),
  },
} satisfies RouteDocument;
