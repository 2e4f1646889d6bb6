/** Describes the routes in captions.ts for the OpenAPI document. */

import * as z from "zod/mini";
import { CaptionJsonRequest, CaptionQuery, Sha256 } from "../../shared/schema.ts";
import { FORGOTTEN_EVERYWHERE_SECONDS } from "../cache/caption-cache.ts";
import { CAPTION_REQUESTS, EXAMPLE_SHA256, KNOWN_CAPTION, NEW_CAPTION } from "../docs/examples.ts";
import {
  ANSWER_HEADERS,
  Binary,
  CACHE_HEADERS,
  CaptionSchema,
  ETAG,
  FETCHED,
  GUARDED,
  json,
  named,
  OF_BYTES,
  PICTURE,
  problems,
  QUOTA_HEADERS,
  type RouteDocument,
} from "../docs/parts.ts";
import { CAPTION_PATH, CAPTIONS_PATH } from "./captions.ts";

/** A form with an address in place of a file. */
const Form = z.object({ ...CaptionQuery.shape, url: CaptionJsonRequest.shape.url });
const File = z.unknown().register(z.globalRegistry, { override: Binary });

const Sha256Path = z.object({
  sha256: Sha256.clone().register(z.globalRegistry, {
    description: "SHA-256 of the bytes.",
    examples: [EXAMPLE_SHA256],
  }),
});

/** `postCaption` */
export const postCaptionRoute = {
  method: "post",
  path: CAPTIONS_PATH.document,
  operationId: "captionPicture",
  tags: ["Captions"],
  summary: "Caption a picture",
  description:
    "Send its bytes, a form with the file in the field `image` (`file` and `data` mean the same) or an address in `url`, or JSON " +
    "with `url` or `image` (base64 or a data URL). Options go into the query, or beside the picture.",
  requestParams: { query: CaptionQuery },
  requestBody: {
    required: true,
    content: {
      "application/octet-stream": { schema: Binary },
      "multipart/form-data": { schema: z.object({ image: z.optional(File), ...Form.shape }) },
      "application/x-www-form-urlencoded": { schema: Form },
      ...json(named("CaptionRequest", CaptionJsonRequest), CAPTION_REQUESTS),
    },
  },
  responses: {
    200: {
      description: "The caption.",
      headers: { ...CACHE_HEADERS, ...ETAG, ...QUOTA_HEADERS },
      content: json(CaptionSchema, NEW_CAPTION),
    },
    ...problems([...GUARDED, ...PICTURE, ...FETCHED]),
  },
} satisfies RouteDocument;

/** `deleteCaption` */
export const deleteCaptionRoute = {
  method: "delete",
  path: CAPTION_PATH.document,
  operationId: "forgetCaption",
  tags: ["Captions"],
  summary: "Delete the captions of a picture",
  description:
    "Those of every model and option. They are gone at once from storage; a copy that is held elsewhere may still be answered for " +
    `${FORGOTTEN_EVERYWHERE_SECONDS / 60} minutes at most. ` +
    "The key needs the scope `delete`.",
  requestParams: { path: Sha256Path, query: CaptionQuery },
  responses: {
    204: {
      description: "The picture has no captions now, whether or not it had any.",
      headers: ANSWER_HEADERS,
    },
    ...problems([...GUARDED, "bad-request", "bad-options", "unsupported-language"]),
  },
} satisfies RouteDocument;

/** `getCaption` */
export const getCaptionRoute = {
  method: "get",
  path: CAPTION_PATH.document,
  operationId: "findCaption",
  tags: ["Captions"],
  summary: "Find the caption of a picture that has been captioned before",
  description: "The cheap way for a client that hashes first: no upload, and 304 if nothing changed.",
  requestParams: { path: Sha256Path, query: CaptionQuery },
  responses: {
    200: {
      description: "The caption.",
      headers: { ...CACHE_HEADERS, ...ETAG },
      content: json(CaptionSchema, KNOWN_CAPTION),
    },
    304: {
      description: "The caption is the one that `If-None-Match` names.",
      headers: { ...CACHE_HEADERS, ...ETAG },
    },
    ...problems([
      ...GUARDED,
      "bad-request",
      "bad-options",
      "unsupported-language",
      "not-captioned",
      ...OF_BYTES,
    ]),
  },
} satisfies RouteDocument;
