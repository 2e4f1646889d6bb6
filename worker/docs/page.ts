/** `/docs`: the OpenAPI document as a page. Rendered here, so it needs no script and nothing from elsewhere. */

import { html } from "hono/html";
import * as z from "zod";
import { PROBLEMS } from "../../shared/problem.ts";
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
  operationId: z.string(),
  summary: z.string(),
  description: z.string().optional(),
  parameters: z
    .array(z.object({ name: z.string(), in: z.string(), required: z.boolean().optional(), schema: Schema }))
    .default([]),
  requestBody: z.object({ content: Content }).optional(),
  responses: z.record(z.string(), z.object({ description: z.string(), content: Content })),
});
type Operation = z.infer<typeof Operation>;

/** What a template makes; nothing in these is awaited. */
type Html = ReturnType<typeof html>;

/** Where the page finds what belongs to it. */
export interface PageAssets {
  readonly icon: string;
  readonly style: string;
  readonly script: string;
}

/** The page of a document. */
export async function docsPage(document: OpenApiDocument, assets: PageAssets): Promise<string> {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods ?? {}).map(([method, operation]) => ({
      path,
      method: method.toUpperCase(),
      operation: Operation.parse(operation),
    })),
  );
  const components = Object.entries(document.components?.schemas ?? {});
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${document.info.title}: API</title>
<link rel="icon" href="${assets.icon}" type="image/svg+xml">
<link rel="stylesheet" href="${assets.style}">
<script type="module" src="${assets.script}"></script>
</head>
<body>
<header>
<h1>${document.info.title}</h1>
<nav aria-label="Pages"><a href="/">Desk</a> <a href="/openapi.json">OpenAPI</a></nav>
</header>
<main>
<p>${prose(document.info.description ?? "")}</p>
<p>Where a key is needed, send it as <code>Authorization: Bearer ate_…</code>. Errors are
<code>application/problem+json</code> (RFC 9457) with a stable <code>code</code>: <a href="#errors">all of them</a>.</p>
<nav aria-label="Operations"><ul>${operations.map(
    ({ method, path, operation }) =>
      html`<li><a href="#${operation.operationId}">${operation.summary}</a> <code>${method} ${path}</code></li>`,
  )}</ul></nav>
${operations.map(section)}
${components.map(([name, schema]) => html`<h2 id="${name}">${name}</h2>${fields(Schema.parse(schema))}`)}
<h2 id="errors">Errors</h2>
${scrolling(
  "Errors",
  html`<table><thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Meaning</th></tr></thead><tbody>${Object.entries(
    PROBLEMS,
  ).map(
    ([code, { status, title }]) =>
      html`<tr><td><code>${code}</code></td><td>${status}</td><td>${title}.</td></tr>`,
  )}</tbody></table>`,
)}
</main>
</body>
</html>`;
  return String(await page);
}

function section({ method, path, operation }: { method: string; path: string; operation: Operation }): Html {
  const { operationId, summary, description = "", parameters, requestBody, responses } = operation;
  const answers = Object.entries(responses).map(
    ([status, { description: meaning, content }]) =>
      html`<tr><td>${status}</td><td>${prose(meaning)}${types(content)}</td></tr>`,
  );
  return html`<h2 id="${operationId}"><code>${method} ${path}</code></h2>
<p>${summary}. ${prose(description)}</p>
<pre tabindex="0">${curlOf({ method, path, operation })}</pre>
${parameters.length > 0 ? html`<h3>Parameters</h3>${parameterTable(parameters)}` : ""}
${requestBody === undefined ? "" : html`<h3>Body</h3>${bodies(requestBody.content)}`}
<h3>Answers</h3>
${scrolling(
  `Answers of ${operationId}`,
  html`<table><thead><tr><th scope="col">Status</th><th scope="col">Meaning</th></tr></thead><tbody>${answers}</tbody></table>`,
)}
`;
}

/** A line for a terminal: what the body is decides how it is sent. */
function curlOf({ method, path, operation }: { method: string; path: string; operation: Operation }): string {
  const types = Object.keys(operation.requestBody?.content ?? {});
  const address = `$API${path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => `$${name.toUpperCase()}`)}`;
  const verb = method === "GET" || types.length > 0 ? "" : ` -X ${method}`;
  const body = types.includes("application/octet-stream")
    ? " --data-binary @photo.jpg"
    : types.includes("application/x-ndjson")
      ? ' -H "Content-Type: application/x-ndjson" --data-binary @items.ndjson'
      : types.length > 0
        ? ' -H "Content-Type: application/json" -d @request.json'
        : "";
  return `curl${verb} -H "Authorization: Bearer $KEY"${body} "${address}"`;
}

/** Scrolls sideways by itself where the screen is narrow, also by keyboard. */
function scrolling(label: string, content: Html): Html {
  return html`<div class="scrolling" role="group" aria-label="${label}" tabindex="0">${content}</div>`;
}

function parameterTable(parameters: Operation["parameters"]): Html {
  return table(
    parameters.map(({ name, in: place, required, schema }) =>
      fieldRow({ name, schema, required: required === true, place }),
    ),
  );
}

function bodies(content: z.infer<typeof Content>): Html[] {
  return Object.entries(content ?? {}).map(
    ([type, { schema }]) => html`<p><code>${type}</code></p>${schema === undefined ? "" : fields(schema)}`,
  );
}

function types(content: z.infer<typeof Content>): Html[] {
  return Object.entries(content ?? {}).map(
    ([type, { schema }]) =>
      html` <code>${type}</code>${schema?.$ref === undefined ? "" : html` ${link(schema.$ref)}`}`,
  );
}

function fields(schema: Schema): Html | string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, property]) =>
    fieldRow({ name, schema: Schema.parse(property), required: schema.required?.includes(name) === true }),
  );
  return rows.length > 0 ? table(rows) : "";
}

function table(rows: readonly Html[]): Html {
  return scrolling(
    "Fields",
    html`<table><thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Meaning</th></tr></thead><tbody>${rows}</tbody></table>`,
  );
}

function fieldRow(field: { name: string; schema: Schema; required: boolean; place?: string }): Html {
  const { name, schema, required, place } = field;
  const { minimum, maximum } = schema;
  const range = minimum === undefined || maximum === undefined ? "" : `, ${minimum} to ${maximum}`;
  const type = schema.$ref === undefined ? [schema.type ?? "any"].flat().join(" or ") : link(schema.$ref);
  const notes = [place, required ? "required" : ""].filter((note) => note).join(", ");
  return html`<tr><td><code>${name}</code></td><td>${type}${range}${notes === "" ? "" : ` (${notes})`}</td><td>${prose(schema.description ?? "")}</td></tr>`;
}

function link(reference: string): Html {
  const name = reference.split("/").at(-1) ?? "";
  return html`<a href="#${name}">${name}</a>`;
}

/** Text with `code` in backquotes. */
function prose(text: string): Html[] {
  return text.split("`").map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : html`${part}`));
}
