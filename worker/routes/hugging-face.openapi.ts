/** The document of the route in hugging-face.ts. */

import { createRoute, z } from "@hono/zod-openapi";
import { CaptionQuery, ImageToTextOutput, ImageToTextRequest } from "../../shared/schema.ts";
import { Binary, GUARDED, json, PICTURE, problems } from "../docs/parts.ts";
import { MODEL_PATH } from "./hugging-face.ts";

const Output = ImageToTextOutput.meta({ id: "ImageToTextOutput" });

/** `postImageToText` */
export const postImageToTextRoute = createRoute({
  method: "post",
  path: MODEL_PATH.document,
  operationId: "imageToText",
  summary: "Caption a picture for a Hugging Face client",
  description:
    "Hugging Face's image-to-text protocol. The answer is an array; for `@huggingface/inference` and browsers, which " +
    "read nothing else, it is the bare object.",
  request: {
    params: z.object({ id: z.string().meta({ description: "Id of the model, slashes included." }) }),
    query: CaptionQuery,
    body: {
      required: true,
      content: {
        "application/octet-stream": { schema: Binary },
        ...json(ImageToTextRequest.meta({ id: "ImageToTextRequest" })),
      },
    },
  },
  responses: {
    200: {
      description: "What the model said.",
      content: json(z.union([z.array(Output), Output])),
    },
    ...problems([...GUARDED, ...PICTURE, "model-not-found"]),
  },
});
