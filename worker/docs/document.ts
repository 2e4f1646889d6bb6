/** What the API's page reads from the OpenAPI document, parsed once. */

import * as z from "zod/mini";
import type { OpenApiDocument } from "./openapi.ts";

/** The parts of a JSON Schema that are read. */
export const Schema = z.looseObject({
  type: z.optional(z.union([z.string(), z.array(z.string())])),
  description: z.optional(z.string()),
  $ref: z.optional(z.string()),
  const: z.optional(z.unknown()),
  enum: z.optional(z.array(z.unknown())),
  minimum: z.optional(z.number()),
  maximum: z.optional(z.number()),
  examples: z.optional(z.array(z.unknown())),
  properties: z.optional(z.record(z.string(), z.unknown())),
  required: z.optional(z.array(z.string())),
  items: z.optional(z.unknown()),
  anyOf: z.optional(z.array(z.unknown())),
  oneOf: z.optional(z.array(z.unknown())),
  allOf: z.optional(z.array(z.unknown())),
});
export type Schema = z.infer<typeof Schema>;

const Example = z.object({ summary: z.string(), value: z.unknown() });
const Media = z.object({
  schema: z.optional(Schema),
  examples: z._default(z.record(z.string(), Example), {}),
});
export type Media = z.infer<typeof Media>;
const Content = z._default(z.record(z.string(), Media), {});

const Header = z.object({ description: z.string(), required: z.boolean(), example: z.string() });
export type Header = z.infer<typeof Header>;

const Response = z.object({
  description: z.string(),
  headers: z._default(z.record(z.string(), Header), {}),
  content: Content,
});

const Parameter = z.object({
  name: z.string(),
  in: z.enum(["path", "query", "header"]),
  required: z._default(z.boolean(), false),
  schema: Schema,
});
export type Parameter = z.infer<typeof Parameter>;

const Described = z.object({
  operationId: z.string(),
  tags: z.tuple([z.string()]),
  summary: z.string(),
  description: z._default(z.string(), ""),
  security: z.optional(z.array(z.unknown())),
  parameters: z._default(z.array(Parameter), []),
  requestBody: z._default(z.object({ content: Content }), { content: {} }),
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

/** Media type of a body or an answer with one JSON value per line. */
export const LINES_TYPE = "application/x-ndjson";

/** The examples of a body as they are sent: JSON, one line of JSON each, or text. */
export function exampleText(type: string, { examples }: Media): string {
  const values = Object.values(examples).map(({ value }) => value);
  if (type === LINES_TYPE) return values.map((value) => JSON.stringify(value)).join("\n");
  const [first] = values;
  return typeof first === "string" ? first : JSON.stringify(first, null, 2);
}
