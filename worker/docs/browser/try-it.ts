/** Runs the forms of the API's page: sends what they say and shows the answer line by line. The key stays in its field. */

import { at, make } from "../../desk/elements.ts";

/** How much of an answer is shown, in characters. */
const MOST_SHOWN = 100_000;
const FILE_TYPE = "application/octet-stream";
/** Reason for aborting a request when another one of the same form replaces it; only the other's answer is then shown. */
const REPLACED = "replaced";

at("origin", "span").textContent = location.origin;
const credentials = at("credentials", "form");
credentials.hidden = false;
// The key is used by the other forms, so Enter sends nothing here.
credentials.addEventListener("submit", (event) => event.preventDefault());
for (const details of document.querySelectorAll<HTMLDetailsElement>("details.try")) {
  details.hidden = false;
  const form = details.querySelector("form");
  if (form !== null) work(form);
}
for (const lines of document.querySelectorAll<HTMLElement>(".lines")) addCopy(lines);

function work(form: HTMLFormElement): void {
  const type = form.querySelector<HTMLSelectElement>("[data-type]");
  const stop = form.querySelector<HTMLButtonElement>("[data-stop]");
  let abort: AbortController | undefined;
  type?.addEventListener("change", () => {
    for (const part of bodyParts(form)) part.hidden = part.dataset.body !== type.value;
  });
  stop?.addEventListener("click", () => abort?.abort());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    abort?.abort(REPLACED);
    abort = new AbortController();
    const { signal } = abort;
    if (stop !== null) stop.hidden = false;
    void send(form, type?.value, signal).finally(() => {
      if (stop !== null && signal.reason !== REPLACED) stop.hidden = true;
    });
  });
}

const bodyParts = (form: HTMLFormElement) => form.querySelectorAll<HTMLElement>("[data-body]");

async function send(form: HTMLFormElement, type: string | undefined, signal: AbortSignal): Promise<void> {
  const say = (words: string) => {
    const place = form.querySelector("[role=status]");
    if (place !== null) place.textContent = words;
  };
  const output = form.querySelector("pre");
  if (output === null) return;
  output.hidden = true;
  output.textContent = "";
  const body = bodyOf(form, type);
  if (body === "missing") {
    say("Choose a picture first.");
    form.querySelector<HTMLInputElement>(`[data-body="${type}"] input`)?.focus();
    return;
  }
  say("Sent.");
  const began = performance.now();
  try {
    const { address, headers } = targetOf(form);
    if (body !== undefined && !(body instanceof FormData)) headers.set("content-type", type ?? FILE_TYPE);
    const response = await fetch(address, {
      method: form.dataset.method ?? "GET",
      headers,
      signal,
      ...(body === undefined ? {} : { body }),
    });
    say(`Answered ${response.status} after ${Math.round(performance.now() - began)} ms.`);
    output.hidden = false;
    await show(response, output);
  } catch {
    if (signal.reason === REPLACED) return;
    say(signal.aborted ? "Stopped." : "The service could not be reached.");
  }
}

/** The address and the headers that the form's fields give. */
function targetOf(form: HTMLFormElement): { readonly address: string; readonly headers: Headers } {
  const headers = new Headers();
  const query = new URLSearchParams();
  let path = form.dataset.path ?? "";
  for (const { dataset, name, value } of form.querySelectorAll<HTMLInputElement>("[data-in]")) {
    // A model's id may contain slashes.
    if (dataset.in === "path") path = path.replace(`{${name}}`, encodeURI(value));
    else if (value === "") continue;
    else if (dataset.in === "query") query.set(name, value);
    else headers.set(name, value);
  }
  const key = at("key", "input").value.trim();
  if (key !== "") headers.set("authorization", `Bearer ${key}`);
  return { address: `${path}${query.size > 0 ? `?${query}` : ""}`, headers };
}

function bodyOf(form: HTMLFormElement, type: string | undefined): BodyInit | "missing" | undefined {
  const part = [...bodyParts(form)].find(({ dataset }) => dataset.body === type);
  if (part === undefined) return undefined;
  const text = part.querySelector("textarea");
  if (text !== null) return text.value;
  const file = part.querySelector("input")?.files?.[0];
  if (file === undefined) return "missing";
  if (type === FILE_TYPE) return file;
  const parts = new FormData();
  parts.set("image", file);
  return parts;
}

/** Shows the headers, then the body as it arrives; JSON is indented. */
async function show(response: Response, output: HTMLElement): Promise<void> {
  const told = Array.from(response.headers, ([name, value]) => `${name}: ${value}\n`).join("");
  const before = `HTTP ${response.status}\n${told}\n`;
  output.textContent = before;
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (reader !== undefined) {
    const { done, value } = await reader.read();
    if (done) break;
    text = (text + value).slice(0, MOST_SHOWN);
    output.textContent = before + text;
  }
  if (/\bjson$/.test(response.headers.get("content-type") ?? "")) output.textContent = before + setOut(text);
}

function setOut(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function addCopy(lines: HTMLElement): void {
  const code = lines.querySelector("pre");
  if (code === null) return;
  const button = make(
    "button",
    { type: "button", class: "plain", "aria-label": `Copy: ${code.ariaLabel}` },
    "Copy",
  );
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent ?? "").then(
      () => (button.textContent = "Copied"),
      () => (button.textContent = "Select it to copy it"),
    );
  });
  lines.append(button);
}
