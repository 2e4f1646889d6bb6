/** One operation of the API's page: what it takes, what it answers, lines for a terminal, and a form to try it. */

import { html } from "hono/html";
import { PROBLEM_CONTENT_TYPE } from "../../shared/problem.ts";
import { curlLines } from "./curl.ts";
import { exampleText, LINES_TYPE, type Media, type Operation } from "./document.ts";
import { type Html, heading, lines, prose, scrolling } from "./html.ts";
import { fieldTables, link, parameterTable } from "./schema-table.ts";
import { tryForm } from "./try-form.ts";

export function operationSection(operation: Operation): Html {
  const { operationId, method, path, summary, description, parameters, requestBody, responses, security } =
    operation;
  const curls = curlLines(operation);
  const answers = Object.entries(responses).filter(([status]) => Number(status) < 400);
  const failures = Object.entries(responses).filter(([status]) => Number(status) >= 400);
  return html`<section aria-labelledby="${operationId}">
${heading(3, operationId, summary, summary)}
<p><code class="route">${method} ${path}</code></p>
<p>${prose(description)}${security?.length === 0 ? " No key is needed." : ""}</p>
<h4>With curl</h4>
${curls.map(
  ({ form, line }) =>
    html`${curls.length > 1 ? html`<p>As <code>${form}</code>:</p>` : ""}${lines(line, `curl of ${operationId}, ${form}`)}`,
)}
${tryForm(operation)}
${parameters.length > 0 ? html`<h4>Parameters</h4>${parameterTable(parameters, `Parameters of ${operationId}`)}` : ""}
${Object.keys(requestBody.content).length === 0 ? "" : html`<h4>Body</h4>${Object.entries(requestBody.content).map(([type, media]) => body(operationId, type, media))}`}
${answers.map(([status, { description: meaning, headers, content }]) => {
  const names = Object.keys(headers);
  return html`<h4>Answer ${status}</h4><p>${prose(meaning)}</p>
${names.length > 0 ? html`<p>Headers: ${names.map((name, i) => html`${i === 0 ? "" : ", "}<a href="#header-${name.toLowerCase()}"><code>${name}</code></a>`)}.</p>` : ""}
${Object.entries(content).map(([type, media]) => answerExample(operationId, type, media))}`;
})}
<h4>Failures</h4>
${scrolling(
  `Failures of ${operationId}`,
  html`<table><thead><tr><th scope="col">Status</th><th scope="col">Codes</th></tr></thead><tbody>${failures.map(
    ([status, { description: meaning }]) =>
      html`<tr><th scope="row">${status}</th><td>${codesIn(meaning)}</td></tr>`,
  )}</tbody></table>`,
)}
</section>`;
}

function body(operationId: string, type: string, media: Media): Html {
  const { schema, examples } = media;
  return html`${typeAndShape(type, media)}
${schema === undefined ? "" : fieldTables(schema, `Body of ${operationId}, ${type}`)}
${Object.values(examples).map(({ summary, value }) =>
  type === LINES_TYPE
    ? ""
    : html`<p>${prose(summary)}:</p>${lines(JSON.stringify(value, null, 2), `${summary}, body of ${operationId}`)}`,
)}
${type === LINES_TYPE ? lines(exampleText(type, media), `Lines of ${operationId}`) : ""}`;
}

function answerExample(operationId: string, type: string, media: Media): Html {
  if (type === PROBLEM_CONTENT_TYPE) return html``;
  const { examples } = media;
  const shape = typeAndShape(type, media);
  if (type === LINES_TYPE) return html`${shape}${lines(exampleText(type, media), `Lines of ${operationId}`)}`;
  return html`${shape}${Object.values(examples).map(({ summary, value }) => {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    return html`<p>${prose(summary)}:</p>${lines(text, `${summary}, answer of ${operationId}`)}`;
  })}`;
}

function typeAndShape(type: string, { schema }: Media): Html {
  const shape =
    schema?.$ref === undefined
      ? ""
      : html`: ${link(schema.$ref)}${type === LINES_TYPE ? ", one a line" : ""}`;
  return html`<p><code>${type}</code>${shape}</p>`;
}

/** The codes in a description, each as a link to the table of all codes. */
function codesIn(meaning: string): Html[] {
  return Array.from(
    meaning.matchAll(/`([a-z-]+)`/g),
    ([, code], i) => html`${i === 0 ? "" : ", "}<a href="#error-${code}"><code>${code}</code></a>`,
  );
}
