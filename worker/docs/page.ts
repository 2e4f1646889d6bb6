/**
 * `/docs`: the OpenAPI document as a page, rendered when the worker is built. All of it can be read without the script,
 * which runs the forms that send requests. Nothing is loaded from elsewhere.
 */

import { html } from "hono/html";
import { PROBLEMS, type ProblemCode } from "../../shared/problem.ts";
import { ADVICE } from "./advice.ts";
import { type Header, type Operation, operationsOf, Schema } from "./document.ts";
import { type Html, heading, prose, scrolling } from "./html.ts";
import type { OpenApiDocument } from "./openapi.ts";
import { operationSection } from "./operation-section.ts";
import { fieldTables } from "./schema-table.ts";

/** Addresses of the page's own files. */
export interface PageAssets {
  readonly icon: string;
  readonly style: string;
  readonly script: string;
}

/** The page of a document. */
export async function docsPage(document: OpenApiDocument, assets: PageAssets): Promise<string> {
  const { info, tags = [], components = {} } = document;
  const operations = operationsOf(document);
  const shapes = Object.entries(components.schemas ?? {}).map(
    ([name, schema]) => [name, Schema.parse(schema)] as const,
  );
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${info.title}: the API</title>
<link rel="icon" href="${assets.icon}" type="image/svg+xml">
<link rel="stylesheet" href="${assets.style}">
<script type="module" src="${assets.script}"></script>
</head>
<body class="docs">
<header>
<h1>${info.title}</h1>
<nav aria-label="Pages"><a href="/">Desk</a> <a href="/openapi.json">OpenAPI</a></nav>
</header>
<nav class="contents" aria-label="Contents">
${tags.map(
  ({ name }) =>
    html`<h2>${name}</h2><ul>${operations
      .filter(({ tags: [tag] }) => tag === name)
      .map(({ operationId, summary }) => html`<li><a href="#${operationId}">${summary}</a></li>`)}</ul>`,
)}
<h2>Reference</h2>
<ul><li><a href="#headers">Headers</a></li><li><a href="#errors">Errors</a></li>${shapes.map(
    ([name]) => html`<li><a href="#${name}">${name}</a></li>`,
  )}</ul>
</nav>
<main>
<p>${prose(info.description ?? "")}</p>
<p>The lines for a terminal are in POSIX shell, and use two variables:</p>
<pre tabindex="0" role="group" aria-label="Variables"><code>API=<span id="origin">https://THIS-ADDRESS</span>
KEY=ate_…</code></pre>
<p>Where a key is needed, send it as <code>Authorization: Bearer ate_…</code>. Errors are
<code>application/problem+json</code> (RFC 9457) with a stable <code>code</code>: <a href="#errors">all of them</a>.</p>
<form id="credentials" hidden><label for="key">API key for what you try here; it stays in this page</label>
<input id="key" type="password" autocomplete="off"></form>
${tags.map(
  ({ name, description = "" }) =>
    html`${heading(2, tagId(name), name, name)}<p>${prose(description)}</p>${operations
      .filter(({ tags: [tag] }) => tag === name)
      .map(operationSection)}`,
)}
${heading(2, "headers", "Headers", "the headers")}
${headerTable(operations)}
${heading(2, "errors", "Errors", "the errors")}
${errorTable()}
${heading(2, "shapes", "Shapes", "the shapes")}
${shapes.map(([name, schema]) => html`${heading(3, name, name, name)}${fieldTables(schema, `Fields of ${name}`)}`)}
</main>
</body>
</html>`;
  return String(await page);
}

const tagId = (name: string) => name.toLowerCase().replaceAll(" ", "-");

/** Every header that an answer may have, once. */
function headerTable(operations: readonly Operation[]): Html {
  const headers = new Map<string, Header>(
    operations
      .flatMap(({ responses }) => Object.values(responses))
      .flatMap((response) => Object.entries(response.headers)),
  );
  const rows = Array.from(headers)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(
      ([name, { description, example }]) =>
        html`<tr id="header-${name.toLowerCase()}"><th scope="row"><code>${name}</code></th><td>${prose(description)}</td><td><code>${example}</code></td></tr>`,
    );
  return scrolling(
    "Headers",
    html`<table><thead><tr><th scope="col">Name</th><th scope="col">Meaning</th><th scope="col">Example</th></tr></thead><tbody>${rows}</tbody></table>`,
  );
}

function errorTable(): Html {
  const rows = Object.entries(PROBLEMS).map(
    ([code, { status, title }]) =>
      html`<tr id="error-${code}"><th scope="row"><code>${code}</code></th><td>${status}</td><td>${title}.</td><td>${prose(ADVICE[code as ProblemCode])}</td></tr>`,
  );
  return scrolling(
    "Errors",
    html`<table><thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Meaning</th><th scope="col">What to do</th></tr></thead><tbody>${rows}</tbody></table>`,
  );
}
