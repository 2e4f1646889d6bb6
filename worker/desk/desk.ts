/** The desk: pictures in, captions looked over by a person, texts out. Puts the parts of this folder together. */

import { type ClientOptions, createCaptionClient } from "../../client/index.ts";
import { contentHash } from "../../shared/content-hash.ts";
import { type Brought, broughtBy, type NamedFile } from "./brought.ts";
import { createCaptioning, NEEDS_KEY, type Pause, type Picture } from "./captioning.ts";
import { at, make, save } from "./elements.ts";
import { showJob } from "./job-view.ts";
import { createRowView, type RowView } from "./row-view.ts";
import { curlLine, pythonLines, type SnippetSource, typescriptLines } from "./snippets.ts";
import { createRowStore } from "./store.ts";
import { FORMATS, type Format, takeAway, taken } from "./take-away.ts";
import { createThumbnails } from "./thumbnails.ts";
import { createWorklist, inOrder, type Row } from "./worklist.ts";

const EXAMPLES = ["cat.jpg", "rocket.jpg", "astronaut.jpg"];
/** The embedded model's id begins so. */
const DEMONSTRATION = /^hybrid-small\b/;
const OTHER_WAYS = [{ num_beams: 3 }, { num_beams: 6 }, { prompt: "there is" }, { prompt: "a close up of" }];
const MOST_ALTERNATIVES = 3;
/** Rows that are made before the page may do something else. */
const ROWS_AT_ONCE = 20;

const worklist = createWorklist();
const store = createRowStore();
const thumbnails = createThumbnails();
const views = new Map<string, RowView>();
/** Pictures of this visit; they are never kept. */
const pictures = new Map<string, Picture>();
/** Rows of this visit whose name is no file's. */
const withoutFile = new Set<string>();
const givenKey = () => at("key", "input").value.trim();
/** What no header takes is no key: the service then says that it wants one. */
const SENDABLE_KEY = /^[!-~]+$/;
const client = (options: Pick<ClientOptions, "maxRetryAfterMs"> = {}) => {
  const apiKey = givenKey();
  return createCaptionClient({
    baseUrl: location.origin,
    ...options,
    ...(SENDABLE_KEY.test(apiKey) ? { apiKey } : {}),
  });
};
const captioning = createCaptioning({
  // A wait is for all pictures, and a person sees it.
  client: () => client({ maxRetryAfterMs: 0 }),
  options: givenOptions,
  onPause: showPause,
});

const NUMBERS = [
  { id: "max-length", name: "max_length", words: "a whole number from 20 to 500" },
  { id: "num-beams", name: "num_beams", words: "a whole number from 1 to 8" },
] as const;

function givenOptions(): Record<string, string> {
  const prompt = at("prompt", "input").value.trim();
  const numbers = NUMBERS.flatMap(({ id, name }) => {
    const input = at(id, "input");
    return input.value !== "" && input.checkValidity() ? [[name, input.value] as const] : [];
  });
  return { ...Object.fromEntries(numbers), ...(prompt === "" ? {} : { prompt }) };
}

/** Says beside a field what is wrong with it, or that nothing is. */
function complain(field: HTMLInputElement | HTMLTextAreaElement, problem: string | undefined): void {
  const place = at(`${field.id}-problem`, "p");
  place.hidden = problem === undefined;
  place.textContent = problem ?? "";
  if (problem === undefined) field.removeAttribute("aria-invalid");
  else field.setAttribute("aria-invalid", "true");
}

/** Writes where screen readers listen, and eyes look: an empty desk has its place beside the form. */
function say(words: string): void {
  const isEmpty = at("work", "section").hidden;
  at("add-status", "p").textContent = isEmpty ? words : "";
  at("status", "p").textContent = isEmpty ? "" : words;
}

let ticking: ReturnType<typeof setInterval> | undefined;
let isWaitSaid = false;

/** Counts a wait down where eyes see it, and says it once: screen readers are not told of each second, nor of each wait in a row. */
function showPause(pause: Pause | undefined): void {
  clearInterval(ticking);
  const place = at("pause", "p");
  place.hidden = pause === undefined;
  if (pause === undefined) return;
  const seconds = () => Math.max(1, Math.ceil((pause.until - Date.now()) / 1000));
  const tick = () => {
    place.textContent = `Goes on by itself in ${seconds()} s.`;
  };
  tick();
  ticking = setInterval(tick, 250);
  if (!isWaitSaid) say(`${pause.reason} Waiting for ${seconds()} seconds, then it goes on by itself.`);
  isWaitSaid = true;
}

let progressSaid = "";

/** Shows how far all is, and says it where it is news: after what a person did (`before` says what), and when a picture failed. */
function sayProgress(before = ""): void {
  const { done, total, failed } = worklist.progress();
  const progress = at("progress", "progress");
  progress.max = Math.max(1, total);
  progress.value = done;
  at("work", "section").hidden = total === 0;
  const words = total === 0 ? "" : `${done} of ${total} done${failed > 0 ? `, ${failed} failed` : ""}.`;
  if (before !== "" || words !== progressSaid) say(`${before} ${words}`.trim());
  progressSaid = words;
  const ready = taken(worklist.rows).length;
  at("away-text", "p").textContent =
    ready === 0
      ? "Nothing is accepted yet: only what you have accepted or marked decorative is taken away."
      : `${ready} of ${total} texts, those that you accepted or marked decorative.`;
  at("download", "button").disabled = ready === 0;
  at("copy", "button").disabled = ready === 0;
  at("cancel", "button").hidden = captioning.busy === 0;
  at("retry", "button").hidden = !worklist.rows.some(
    ({ state }) => state.kind === "failed" && state.canRetry,
  );
}

function arrange(): void {
  const order = inOrder(worklist.rows, at("review-first", "input").checked);
  const elements = order.flatMap(({ id }) => views.get(id)?.element ?? []);
  at("rows", "ol").replaceChildren(...elements);
}

function addView(row: Row): void {
  const view = createRowView(row, {
    edit: (id, text) => worklist.change(id, { text }),
    decide,
    retry: (id) => void caption(id),
    alternatives,
    copy,
    snippets: (id) => snippetsOf(id),
    linkOf: (id) => {
      const sha256 = worklist.get(id)?.sha256;
      return sha256 === undefined ? undefined : `/#caption=${sha256}`;
    },
  });
  views.set(row.id, view);
  at("rows", "ol").append(view.element);
}

let lastAdded = 0;

/** Sorts as the rows are added, also after a reload and beside those of another window. */
function newRowId(): string {
  lastAdded = Math.max(lastAdded + 1, Date.now() * 1000);
  return `row-${lastAdded.toString(36)}-${crypto.randomUUID()}`;
}

/** Lets the page answer keys between many rows. */
const breath = () => new Promise((resolve) => setTimeout(resolve));

function addRow(name: string, picture: Picture, { isFile = false } = {}): void {
  const id = newRowId();
  pictures.set(id, picture);
  if (!isFile) withoutFile.add(id);
  worklist.add({ id, name, url: "url" in picture ? picture.url : undefined });
  const row = worklist.get(id);
  if (row === undefined) return;
  addView(row);
  at("work", "section").hidden = false;
  showThumbnail(id, picture);
  void caption(id);
}

function showThumbnail(id: string, picture: Picture): void {
  const view = views.get(id);
  if (view === undefined) return;
  if ("file" in picture) thumbnails.make(view.element, picture.file, view.show);
  if ("url" in picture) view.show(picture.url);
}

/** Adds files; one whose bytes are on the desk already brings that row its picture back. `before` is said first. */
async function addFiles(
  files: readonly NamedFile[],
  { onDisk, before = "" }: { onDisk: boolean; before?: string },
): Promise<void> {
  for (const [i, { file, name }] of files.entries()) {
    if (i % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await breath();
    const known = await lostRowOf(file, name);
    if (known === undefined) addRow(name || "pasted picture", { file }, { isFile: onDisk });
    else {
      pictures.set(known.id, { file });
      showThumbnail(known.id, { file });
      if (known.state.kind !== "captioned") void caption(known.id);
    }
  }
  sayProgress(before);
}

async function lostRowOf(file: File, name: string): Promise<Row | undefined> {
  const candidates = worklist.rows.filter((row) => !pictures.has(row.id) && row.url === undefined);
  if (candidates.length === 0) return undefined;
  // A file that cannot be read gets a row that says so.
  const bytes = await file.arrayBuffer().catch(() => undefined);
  if (bytes === undefined) return undefined;
  const sha256 = await contentHash(new Uint8Array(bytes));
  return candidates.find((row) => row.sha256 === sha256 || (row.sha256 === undefined && row.name === name));
}

async function caption(id: string): Promise<void> {
  const picture = pictures.get(id);
  if (picture === undefined) return;
  worklist.change(id, { state: { kind: "waiting" } });
  const outcome = await captioning.caption(picture, (kind) => worklist.change(id, { state: { kind } }));
  switch (outcome.kind) {
    case "captioned":
      worklist.caption(id, outcome.caption);
      if (isWaitSaid && at("pause", "p").hidden) {
        isWaitSaid = false;
        sayProgress("It goes on.");
      }
      if (DEMONSTRATION.test(outcome.caption.model.id)) at("demo", "p").hidden = false;
      break;
    case "lost":
      worklist.change(id, { state: { kind: "lost" } });
      break;
    case "cancelled":
      worklist.change(id, { state: { kind: "failed", reason: "Stopped.", canRetry: true } });
      break;
    case "failed":
      worklist.change(id, { state: outcome });
      if (outcome.needsKey) askForKey(outcome.reason);
      break;
  }
  sayProgress(captioning.busy === 0 ? "Captioning is done." : "");
  // Those to be reviewed are known now. Nothing is moved under somebody's hands.
  const isAtWork = at("rows", "ol").contains(document.activeElement);
  if (captioning.busy === 0 && at("review-first", "input").checked && !isAtWork) arrange();
}

function askForKey(problem: string): void {
  at("options", "details").open = true;
  const field = at("key", "input");
  if (field.getAttribute("aria-invalid") === "true") return;
  complain(field, problem);
  field.focus();
}

const SAID = {
  accepted: "Accepted.",
  decorative: "Marked decorative.",
  skipped: "Skipped.",
  open: "Open again.",
} as const;

function decide(id: string, decision: Row["decision"]): void {
  const row = worklist.get(id);
  if (row === undefined || (decision === "accepted" && row.text.trim() === "")) return;
  const order = inOrder(worklist.rows, at("review-first", "input").checked);
  worklist.decide(id, decision);
  void store.flush();
  sayProgress(SAID[decision]);
  if (decision === "open") views.get(id)?.focus();
  else {
    const next = worklist.next(id, order);
    if (next === undefined) atEnd().focus();
    else views.get(next.id)?.focus();
  }
}

/** Where the keyboard goes when all are decided on: a button that is disabled takes no focus. */
function atEnd(): HTMLElement {
  const download = at("download", "button");
  return download.disabled ? at("work-title", "h2") : download;
}

async function alternatives(id: string): Promise<readonly string[]> {
  const row = worklist.get(id);
  const picture = pictures.get(id);
  if (row === undefined || picture === undefined) return [];
  const { original = "", text } = row;
  const asked = OTHER_WAYS.map(async (way) => {
    const call = { ...givenOptions(), ...way };
    try {
      if ("file" in picture) return (await client().caption(picture.file, call)).alt;
      if ("url" in picture) return (await client().captionUrl(picture.url, call)).alt;
      return (await client().find(picture.sha256, call))?.alt;
    } catch {
      return undefined;
    }
  });
  const said = (await Promise.all(asked)).filter((alt) => alt !== undefined);
  return [...new Set([original, ...said])]
    .filter((alt) => alt !== text && alt !== "")
    .slice(0, MOST_ALTERNATIVES);
}

function snippetSource(row: Row | undefined): SnippetSource {
  if (row?.url !== undefined) return { url: row.url };
  // What was pasted lies in no file, nor does what a link named.
  if (row?.sha256 !== undefined && withoutFile.has(row.id)) return { sha256: row.sha256 };
  return { file: row?.name ?? "photo.jpg" };
}

function snippetsOf(id: string): Record<string, string> {
  const row = worklist.get(id);
  const query = new URLSearchParams(givenOptions());
  const parts = {
    origin: location.origin,
    source: snippetSource(row),
    query: query.size > 0 ? `?${query}` : "",
    hasKey: givenKey() !== "",
  };
  return { curl: curlLine(parts), TypeScript: typescriptLines(parts), Python: pythonLines(parts) };
}

async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    say(`${what} could not be copied; select it and copy it by hand.`);
  }
}

function addAddresses(event: SubmitEvent): void {
  event.preventDefault();
  const field = at("urls", "textarea");
  const lines = field.value
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const bad = lines.filter((line) => !/^https?:\/\/\S+$/.test(line) || !URL.canParse(line));
  const good = lines.filter((line) => !bad.includes(line));
  for (const url of good) addRow(url, { url });
  field.value = bad.join("\n");
  complain(
    field,
    bad.length > 0
      ? "What is left here is no address: each begins with https:// and stands on its own line."
      : lines.length === 0
        ? "Enter an address first, beginning with https://."
        : undefined,
  );
  if (bad.length > 0 || lines.length === 0) field.focus();
  sayProgress();
}

async function addExamples(): Promise<void> {
  for (const name of EXAMPLES) {
    const response = await fetch(`/assets/examples/${name}`).catch(() => undefined);
    if (response?.ok !== true) {
      say("The examples could not be loaded. Try again in a moment.");
      return;
    }
    const file = new File([await response.blob()], name, { type: "image/jpeg" });
    await addFiles([{ file, name }], { onDisk: false });
  }
}

function take({ files, urls, leftOut }: Brought, { onDisk }: { onDisk: boolean }): void {
  const words = leftOut === 0 ? "" : `Left out of the folder, as no pictures: ${leftOut}.`;
  if (files.length === 0 && urls.length === 0) say(words || "That was not a picture.");
  for (const url of urls) addRow(url, { url });
  if (files.length > 0) void addFiles(files, { onDisk, before: words });
}

/** Whether text that is dropped or pasted here belongs into a field; a spreadsheet brings a picture of its cells along. */
function isForField(target: EventTarget | null, data: DataTransfer | null): boolean {
  const isField = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
  return isField && (data?.types.includes("text/plain") === true || !data?.types.includes("Files"));
}

async function resume(): Promise<void> {
  for (const [i, row] of (await store.load()).entries()) {
    if (i % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await breath();
    const isMade = row.state.kind === "captioned";
    worklist.add({ ...row, state: isMade || row.decision !== "open" ? row.state : { kind: "lost" } });
    addView(row);
    const picture: Picture | undefined = row.url !== undefined ? { url: row.url } : undefined;
    if (picture !== undefined) {
      pictures.set(row.id, picture);
      showThumbnail(row.id, picture);
      if (!isMade && row.decision === "open") void caption(row.id);
    }
    const shown = worklist.get(row.id);
    if (shown !== undefined) views.get(row.id)?.update(shown);
  }
  if (worklist.rows.length > 0) sayProgress("As you left it.");
}

let shownJob = new AbortController();

function openJob(): void {
  const id = new URLSearchParams(location.hash.slice(1)).get("job");
  if (id === null) return;
  shownJob.abort();
  shownJob = new AbortController();
  const { signal } = shownJob;
  const askForIt = () => askForKey(NEEDS_KEY);
  void showJob(id, { client: client(), apiKey: givenKey(), signal, say, askForKey: askForIt });
}

function openLink(): void {
  openJob();
  const sha256 = new URLSearchParams(location.hash.slice(1)).get("caption");
  if (sha256 !== null && !worklist.rows.some((row) => row.sha256 === sha256)) {
    addRow(`Picture ${sha256.slice(0, 12)}…`, { sha256 });
    sayProgress();
  }
}

worklist.onChange((row) => {
  views.get(row.id)?.update(row);
  store.save(row);
});

const files = at("files", "input");
files.addEventListener("change", () => {
  const chosen = [...(files.files ?? [])].map((file) => ({ file, name: file.name }));
  void addFiles(chosen, { onDisk: true });
  // So that the same file can be chosen again.
  files.value = "";
});
at("add", "form").addEventListener("submit", addAddresses);
at("examples", "button").addEventListener("click", () => void addExamples());
at("review-first", "input").addEventListener("change", arrange);
at("undo", "button").addEventListener("click", () => {
  const id = worklist.undo();
  sayProgress(id === undefined ? "There is nothing to undo." : "Undone.");
  if (id !== undefined) views.get(id)?.focus();
});
at("cancel", "button").addEventListener("click", () => {
  // Both buttons go when they are used: the keyboard stays in the list.
  at("work-title", "h2").focus();
  captioning.cancel();
});
at("retry", "button").addEventListener("click", () => {
  at("work-title", "h2").focus();
  for (const { id, state } of worklist.rows) if (state.kind === "failed" && state.canRetry) void caption(id);
});
at("clear", "button").addEventListener("click", () => {
  const open = worklist.progress();
  if (!confirm(`Take all ${open.total} pictures off the desk? Texts that you did not take away are lost.`))
    return;
  captioning.cancel();
  thumbnails.clear();
  void store.remove(worklist.rows.map(({ id }) => id));
  worklist.clear();
  views.clear();
  pictures.clear();
  withoutFile.clear();
  at("rows", "ol").replaceChildren();
  sayProgress("The desk is empty.");
  files.focus();
});
for (const { id, words } of NUMBERS) {
  const input = at(id, "input");
  input.addEventListener("change", () =>
    complain(input, input.checkValidity() ? undefined : `Expected ${words}. Until then the default is used.`),
  );
  // Enter in an option is no wish to add an address.
  input.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
}
for (const id of ["prompt", "key"]) {
  at(id, "input").addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
}
at("key", "input").addEventListener("change", () => {
  complain(at("key", "input"), undefined);
  openJob();
  for (const { id, state } of worklist.rows) if (state.kind === "failed" && state.canRetry) void caption(id);
});
const format = at("format", "select");
format.append(...Object.entries(FORMATS).map(([value, { label }]) => make("option", { value }, label)));
at("download", "button").addEventListener("click", () => {
  const { file, type } = FORMATS[format.value as Format];
  save(new Blob([takeAway(worklist.rows, format.value as Format)], { type }), file);
  say(`${file} is being saved.`);
});
at("copy", "button").addEventListener("click", () =>
  copy(takeAway(worklist.rows, format.value as Format, { isFile: false }), "All texts"),
);

document.addEventListener("paste", async (event) => {
  if (isForField(event.target, event.clipboardData)) return;
  event.preventDefault();
  take(await broughtBy(event.clipboardData), { onDisk: false });
});
document.addEventListener("dragover", (event) => {
  if (isForField(event.target, event.dataTransfer)) return;
  event.preventDefault();
  at("drop", "div").classList.add("over");
});
document.addEventListener("dragleave", () => at("drop", "div").classList.remove("over"));
document.addEventListener("drop", async (event) => {
  at("drop", "div").classList.remove("over");
  if (isForField(event.target, event.dataTransfer)) return;
  event.preventDefault();
  take(await broughtBy(event.dataTransfer), { onDisk: true });
});
window.addEventListener("pagehide", () => void store.flush());
window.addEventListener("hashchange", openLink);

await resume();
openLink();
