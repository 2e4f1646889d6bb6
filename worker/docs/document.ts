/** What the API's page reads of the OpenAPI document, parsed once. */

import * as z from "zod";
import type { OpenApiDocument } from "./openapi.ts";

/** What is read of a JSON Schema. */
export const Schema = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  description: z.string().optional(),
  $ref: z.string().optional(),
  const: z.unknown().optional(),
  enum: z.array(z.unknown()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  examples: z.array(z.unknown()).optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).optional(),
  items: z.unknown().optional(),
  anyOf: z.array(z.unknown()).optional(),
  oneOf: z.array(z.unknown()).optional(),
  allOf: z.array(z.unknown()).optional(),
});
export type Schema = z.infer<typeof Schema>;

const Example = z.object({ summary: z.string(), value: z.unknown() });
const Media = z.object({ schema: Schema.optional(), examples: z.record(z.string(), Example).default({}) });
export type Media = z.infer<typeof Media>;
const Content = z.record(z.string(), Media).default({});

const Header = z.object({ description: z.string(), required: z.boolean(), example: z.string() });
export type Header = z.infer<typeof Header>;

const Response = z.object({
  description: z.string(),
  headers: z.record(z.string(), Header).default({}),
  content: Content,
});

const Parameter = z.object({
  name: z.string(),
  in: z.enum(["path", "query", "header"]),
  required: z.boolean().default(false),
  schema: Schema,
});
export type Parameter = z.infer<typeof Parameter>;

const Described = z.object({
  operationId: z.string(),
  tags: z.tuple([z.string()]),
  summary: z.string(),
  description: z.string().default(""),
  security: z.array(z.unknown()).optional(),
  parameters: z.array(Parameter).default([]),
  requestBody: z.object({ content: Content }).default({ content: {} }),
  responses: z.record(z.string(), Response),
});

export type Operation = z.infer<typeof Described> & { readonly method: string; readonly path: string };

/** Every operation, in the document's order. */
export function operationsOf(document: OpenApiDocument): Operation[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods ?? {}).map(([method, described]) => ({
      ...Described.parse(described),
      method: method.toUpperCase(),
      path,
    })),
  );
}

/** Media types of which a body or an answer is one JSON value a line. */
export const LINES_TYPE = "application/x-ndjson";

/** The examples of a body as they are sent: JSON, a line of JSON each, or text. */
export function exampleText(type: string, { examples }: Media): string {
  const values = Object.values(examples).map(({ value }) => value);
  if (type === LINES_TYPE) return values.map((value) => JSON.stringify(value)).join("\n");
  const [first] = values;
  return typeof first === "string" ? first : JSON.stringify(first, null, 2);
}
