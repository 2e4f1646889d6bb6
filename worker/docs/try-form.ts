/** The form that sends an operation from the page. Hidden until the page's script, browser/try-it.ts, is there to run it. */

import { html } from "hono/html";
import { exampleText, type Media, type Operation, type Parameter } from "./document.ts";
import type { Html } from "./html.ts";

const FILE_TYPES: ReadonlySet<string> = new Set(["application/octet-stream", "multipart/form-data"]);

export function tryForm(operation: Operation): Html {
  const { operationId, summary, method, path, parameters, requestBody } = operation;
  const bodies = Object.entries(requestBody.content);
  return html`<details class="try" hidden><summary>Try it<span class="visually-hidden">: ${summary}</span></summary>
<form data-method="${method}" data-path="${path}" novalidate>
${parameters.map((parameter) => field(operationId, parameter))}
${bodies.length === 0 ? "" : bodyFields(operationId, bodies)}
<p class="buttons"><button type="submit">Send</button> <button type="button" class="plain" data-stop hidden>Stop</button></p>
<p role="status"></p>
<pre tabindex="0" role="group" aria-label="Answer" hidden></pre>
</form></details>`;
}

function field(operationId: string, { name, in: place, required, schema }: Parameter): Html {
  const id = `${operationId}-${name}`;
  const value = place === "path" ? String(schema.examples?.[0] ?? "") : "";
  return html`<div><label for="${id}">${name}${required ? "" : " (may be left empty)"}</label>
<input id="${id}" name="${name}" data-in="${place}" value="${value}" autocomplete="off" spellcheck="false"></div>`;
}

function bodyFields(operationId: string, bodies: readonly (readonly [string, Media])[]): Html {
  const id = `${operationId}-type`;
  return html`<div><label for="${id}">Body, as</label>
<select id="${id}" data-type>${bodies.map(([type]) => html`<option>${type}</option>`)}</select></div>
${bodies.map(([type, media], i) => {
  const inputId = `${operationId}-body-${i}`;
  const input = FILE_TYPES.has(type)
    ? html`<input id="${inputId}" type="file" accept="image/*">`
    : html`<textarea id="${inputId}" rows="6" spellcheck="false">${bodyExample(type, media)}</textarea>`;
  const label = FILE_TYPES.has(type) ? "Picture file" : "Body";
  return html`<div data-body="${type}"${i === 0 ? "" : html` hidden`}><label for="${inputId}">${label}</label>${input}</div>`;
})}`;
}

function bodyExample(type: string, media: Media): string {
  return type === "application/x-www-form-urlencoded"
    ? "url=https%3A%2F%2Fexample.org%2Fphoto.jpg"
    : exampleText(type, media);
}
