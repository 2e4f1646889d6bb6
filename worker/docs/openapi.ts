/**
 * The OpenAPI 3.1 document, made from the schemas that validate and from the table of problems.
 * `test/worker/docs/openapi.test.ts` holds every status in it against a real answer.
 */

import { createRoute, OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import { SHA256_HEX } from "../../shared/content-hash.ts";
import { PROBLEM_CONTENT_TYPE, PROBLEMS, Problem, type ProblemCode } from "../../shared/problem.ts";
import {
  BatchItem,
  BatchLine,
  BatchRequest,
  Caption,
  CaptionJsonRequest,
  CaptionQuery,
  ImageToTextOutput,
  ImageToTextRequest,
} from "../../shared/schema.ts";

export type OpenApiDocument = ReturnType<OpenAPIHono["getOpenAPI31Document"]>;

const Binary = { type: "string", format: "binary" } as const;
const CaptionSchema = Caption.meta({ id: "Caption" });
const ProblemSchema = Problem.meta({ id: "Problem" });
const Health = z.object({ status: z.string() });
const Sha256Path = z.object({
  sha256: z.string().regex(SHA256_HEX).meta({ description: "SHA-256 of the bytes." }),
});

const CACHE_HEADERS = {
  "Cache-Status": {
    description: "The tier that answered (memory, colo, kv), or fwd=miss where the captioner did. RFC 9211.",
    schema: { type: "string" },
  },
  ETag: { description: "Changes when the answer does.", schema: { type: "string" } },
  "Server-Timing": { description: "Milliseconds of each leg.", schema: { type: "string" } },
} as const;

const GUARDED = ["unauthorized", "forbidden", "rate-limited", "unavailable", "internal"] as const;
const PICTURE = [
  "empty-body",
  "bad-request",
  "bad-options",
  "image-too-large",
  "too-many-pixels",
  "unsupported-image",
  "not-an-image",
  "unreadable-image",
  "decode-timeout",
  "quota-exceeded",
  "overloaded",
  "backend-error",
] as const;
const FETCHED = ["url-refused", "url-unreachable", "unsupported-language"] as const;

const json = <Schema>(schema: Schema) => ({ "application/json": { schema } });

const ROUTES: readonly RouteConfig[] = [
  createRoute({
    method: "post",
    path: "/v1/captions",
    summary: "Caption a picture",
    description:
      "Send its bytes, a form with the field `image`, or JSON with `url` or `image` (base64 or a data URL).",
    request: {
      query: CaptionQuery,
      body: {
        required: true,
        content: {
          "application/octet-stream": { schema: Binary },
          "multipart/form-data": {
            schema: { type: "object", required: ["image"], properties: { image: Binary } },
          },
          ...json(CaptionJsonRequest),
        },
      },
    },
    responses: {
      200: { description: "The caption.", headers: CACHE_HEADERS, content: json(CaptionSchema) },
      ...problems([...GUARDED, ...PICTURE, ...FETCHED]),
    },
  }),
  createRoute({
    method: "get",
    path: "/v1/captions/{sha256}",
    summary: "Find the caption of a picture that was captioned before",
    description: "The cheap way for a client that hashes first: no upload, and 304 where nothing changed.",
    request: { params: Sha256Path, query: CaptionQuery },
    responses: {
      200: { description: "The caption.", headers: CACHE_HEADERS, content: json(CaptionSchema) },
      304: { description: "The caption is the one that `If-None-Match` names." },
      ...problems([
        ...GUARDED,
        "bad-request",
        "bad-options",
        "unsupported-language",
        "not-captioned",
        "too-many-pixels",
        "unsupported-image",
        "not-an-image",
        "unreadable-image",
      ]),
    },
  }),
  createRoute({
    method: "post",
    path: "/v1/captions/batch",
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
        "image-too-large",
      ]),
    },
  }),
  createRoute({
    method: "post",
    path: "/models/{id}",
    summary: "Caption a picture for a Hugging Face client",
    description:
      "Hugging Face's image-to-text protocol. The answer is an array; for `@huggingface/inference` and browsers, which " +
      "read nothing else, it is the bare object.",
    request: {
      params: z.object({ id: z.string().meta({ description: "Id of the model, slashes included." }) }),
      body: {
        required: true,
        content: { "application/octet-stream": { schema: Binary }, ...json(ImageToTextRequest) },
      },
    },
    responses: {
      200: {
        description: "What the model said.",
        content: json(z.union([z.array(ImageToTextOutput), ImageToTextOutput])),
      },
      ...problems([...GUARDED, ...PICTURE, "model-not-found"]),
    },
  }),
  createRoute({
    method: "get",
    path: "/healthz",
    summary: "Whether this worker runs",
    security: [],
    responses: { 200: { description: "It does.", content: json(Health) }, ...problems(["internal"]) },
  }),
  createRoute({
    method: "get",
    path: "/readyz",
    summary: "Whether a new picture would be captioned now",
    security: [],
    responses: {
      200: { description: "It would.", content: json(Health) },
      ...problems(["unavailable", "internal"]),
    },
  }),
];

let document: OpenApiDocument | undefined;

/** The document, made once in an isolate. */
export function openApiDocument(): OpenApiDocument {
  document ??= buildDocument();
  return document;
}

function buildDocument(): OpenApiDocument {
  const { openAPIRegistry, getOpenAPI31Document } = new OpenAPIHono();
  openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  for (const route of ROUTES) openAPIRegistry.registerPath(route);
  return getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Alt text at the edge",
      version: "1",
      description: "A picture in, one line of alt text out; the same bytes are never captioned twice.",
    },
    security: [{ key: [] }],
  });
}

/** Responses of the given failures, one for each status, with the codes it may carry. */
function problems(codes: readonly ProblemCode[]): RouteConfig["responses"] {
  const byStatus = Map.groupBy(new Set(codes), (code) => PROBLEMS[code].status);
  return Object.fromEntries(
    Array.from(byStatus, ([status, group]) => [
      status,
      {
        description: group.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(" "),
        content: { [PROBLEM_CONTENT_TYPE]: { schema: ProblemSchema } },
      },
    ]),
  );
}
