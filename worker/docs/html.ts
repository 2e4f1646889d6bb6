/** Pieces of HTML that the API's page is made of. */

import { html } from "hono/html";

/** What a template makes; no template here awaits anything. */
export type Html = ReturnType<typeof html>;

/** On a narrow screen the content scrolls sideways by itself, also by keyboard. */
export function scrolling(label: string, content: Html): Html {
  return html`<div class="scrolling" role="group" aria-label="${label}" tabindex="0">${content}</div>`;
}

/** A heading with a link to itself. */
export function heading(level: 2 | 3, id: string, text: string | Html, name: string): Html {
  const anchor = html`<a class="anchor" href="#${id}" aria-label="Link to ${name}">#</a>`;
  return level === 2
    ? html`<h2 id="${id}">${text} ${anchor}</h2>`
    : html`<h3 id="${id}">${text} ${anchor}</h3>`;
}

/** Lines to copy; `what` names them for people who cannot see their place on the page. */
export function lines(text: string, what: string): Html {
  return html`<div class="lines"><pre tabindex="0" role="group" aria-label="${what}"><code>${text}</code></pre></div>`;
}

/** Text with `code` in backquotes. */
export function prose(text: string): Html[] {
  return text.split("`").map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : html`${part}`));
}
