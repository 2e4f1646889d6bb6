/** `/docs`: the OpenAPI document as a page. Rendered here, so it needs no script and nothing from elsewhere. */

import * as z from "zod";
import type { OpenApiDocument } from "./openapi.ts";

/** What the page reads of a JSON Schema. */
const Schema = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  description: z.string().optional(),
  $ref: z.string().optional(),
  enum: z.array(z.unknown()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).optional(),
});
type Schema = z.infer<typeof Schema>;

const Content = z.record(z.string(), z.object({ schema: Schema.optional() })).optional();
const Operation = z.object({
  summary: z.string(),
  description: z.string().optional(),
  parameters: z
    .array(z.object({ name: z.string(), in: z.string(), required: z.boolean().optional(), schema: Schema }))
    .default([]),
  requestBody: z.object({ content: Content }).optional(),
  responses: z.record(z.string(), z.object({ description: z.string(), content: Content })),
});
type Operation = z.infer<typeof Operation>;

/** The page of a document. */
export function docsPage(document: OpenApiDocument): string {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods ?? {}).map(([method, operation]) => ({
      path,
      method: method.toUpperCase(),
      operation: Operation.parse(operation),
    })),
  );
  const components = Object.entries(document.components?.schemas ?? {});
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(document.info.title)}: API</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/style.css">
</head>
<body>
<header>
<h1>${escapeHtml(document.info.title)}</h1>
<nav aria-label="Pages"><a href="/">Playground</a> <a href="/openapi.json">OpenAPI</a></nav>
</header>
<main>
<p>${prose(document.info.description ?? "")}</p>
<p>Where a key is needed, send it as <code>Authorization: Bearer ate_…</code>. Errors are
<code>application/problem+json</code> (RFC 9457) with a stable <code>code</code>.</p>
${operations.map(({ path, method, operation }) => section(method, path, operation)).join("\n")}
${components.map(([name, schema]) => `<h2 id="${escapeHtml(name)}">${escapeHtml(name)}</h2>${fields(Schema.parse(schema))}`).join("\n")}
</main>
</body>
</html>`;
}

function section(method: string, path: string, operation: Operation): string {
  const { summary, description = "", parameters, requestBody, responses } = operation;
  const answers = Object.entries(responses).map(
    ([status, { description: meaning, content }]) =>
      `<tr><td>${escapeHtml(status)}</td><td>${prose(meaning)}${types(content)}</td></tr>`,
  );
  return `<h2><code>${escapeHtml(method)} ${escapeHtml(path)}</code></h2>
<p>${escapeHtml(summary)}. ${prose(description)}</p>
${parameters.length > 0 ? `<h3>Parameters</h3>${parameterTable(parameters)}` : ""}
${requestBody === undefined ? "" : `<h3>Body</h3>${bodies(requestBody.content)}`}
<h3>Answers</h3>
<table><thead><tr><th scope="col">Status</th><th scope="col">Meaning</th></tr></thead><tbody>${answers.join("")}</tbody></table>`;
}

function parameterTable(parameters: Operation["parameters"]): string {
  const rows = parameters.map(({ name, in: place, required, schema }) =>
    fieldRow(name, schema, required === true, place),
  );
  return table(rows);
}

function bodies(content: z.infer<typeof Content>): string {
  return Object.entries(content ?? {})
    .map(
      ([type, { schema }]) =>
        `<p><code>${escapeHtml(type)}</code></p>${schema === undefined ? "" : fields(schema)}`,
    )
    .join("");
}

function types(content: z.infer<typeof Content>): string {
  return Object.entries(content ?? {})
    .map(
      ([type, { schema }]) =>
        ` <code>${escapeHtml(type)}</code>${schema?.$ref === undefined ? "" : ` ${link(schema.$ref)}`}`,
    )
    .join("");
}

function fields(schema: Schema): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, property]) =>
    fieldRow(name, Schema.parse(property), schema.required?.includes(name) === true),
  );
  return rows.length > 0 ? table(rows) : "";
}

function table(rows: readonly string[]): string {
  return `<table><thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Meaning</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

function fieldRow(name: string, schema: Schema, required: boolean, place?: string): string {
  const { minimum, maximum } = schema;
  const range = minimum === undefined || maximum === undefined ? "" : `, ${minimum} to ${maximum}`;
  const type =
    schema.$ref === undefined ? escapeHtml([schema.type ?? "any"].flat().join(" or ")) : link(schema.$ref);
  const notes = [place, required ? "required" : ""].filter((note) => note).join(", ");
  return `<tr><td><code>${escapeHtml(name)}</code></td><td>${type}${range}${notes === "" ? "" : ` (${escapeHtml(notes)})`}</td><td>${prose(schema.description ?? "")}</td></tr>`;
}

function link(reference: string): string {
  const name = escapeHtml(reference.split("/").at(-1) ?? "");
  return `<a href="#${name}">${name}</a>`;
}

/** Text with `code` in backquotes. */
function prose(text: string): string {
  return escapeHtml(text).replace(/`([^`]+)`/g, "<code>$1</code>");
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
