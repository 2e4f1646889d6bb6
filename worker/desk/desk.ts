/** The desk: pictures come in, a person reviews their captions, texts go out. Puts the parts of this folder together. */

import { canHash, SHA256_HEX } from "../../shared/content-hash.ts";
import { isWebAddress } from "./address.ts";
import { type Brought, broughtBy } from "./brought.ts";
import { NEEDS_KEY } from "./captioning.ts";
import { at, make, save } from "./elements.ts";
import { showJob } from "./job-view.ts";
import { askForKey, client, givenKey, listenToOptions } from "./options.ts";
import {
  addFiles,
  addRow,
  allRows,
  arrange,
  clear,
  leaveRows,
  resume,
  retryFailed,
  sayProgress,
  stopCaptioning,
  undo,
} from "./rows.ts";
import { complain, copy, say } from "./status.ts";
import { FORMATS, type Format, takeAway } from "./take-away.ts";

const EXAMPLES = ["cat.jpg", "rocket.jpg", "astronaut.jpg"];

function addAddresses(event: SubmitEvent): void {
  event.preventDefault();
  const field = at("urls", "textarea");
  const lines = field.value
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const bad = lines.filter((line) => !isWebAddress(line));
  const good = lines.filter((line) => !bad.includes(line));
  for (const url of good) addRow(url, { url });
  field.value = bad.join("\n");
  complain(
    field,
    bad.length > 0
      ? "What is left here is not an address: each begins with https://, has no spaces, and stands on its own line."
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
  else if (urls.length > 0) sayProgress();
}

/** Whether what is dropped or pasted here is text for a field; a spreadsheet adds a picture of its cells. */
function isForField(target: EventTarget | null, data: DataTransfer | null): boolean {
  const isField = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
  return isField && (data?.types.includes("text/plain") === true || !data?.types.includes("Files"));
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
  if (sha256 === null || allRows().some((row) => row.sha256 === sha256)) return;
  if (!SHA256_HEX.test(sha256)) {
    say("This link to a caption is not complete. Copy all of it, to its last letter.");
    return;
  }
  addRow(`Picture ${sha256.slice(0, 12)}…`, { sha256 });
  sayProgress();
}

async function start(): Promise<void> {
  const files = at("files", "input");
  files.addEventListener("change", () => {
    const chosen = [...(files.files ?? [])].map((file) => ({ file, name: file.name }));
    void addFiles(chosen, { onDisk: true });
    // So that the same file can be chosen again.
    files.value = "";
  });
  at("add", "form").addEventListener("submit", addAddresses);
  const addresses = at("urls", "textarea");
  addresses.addEventListener("input", () => complain(addresses, undefined));
  at("examples", "button").addEventListener("click", () => void addExamples());
  at("review-first", "input").addEventListener("change", arrange);
  at("undo", "button").addEventListener("click", undo);
  at("cancel", "button").addEventListener("click", () => {
    // Both buttons disappear when they are used, so the focus moves to stay in the list.
    at("work-title", "h2").focus();
    stopCaptioning();
  });
  at("retry", "button").addEventListener("click", () => {
    at("work-title", "h2").focus();
    retryFailed();
  });
  at("clear", "button").addEventListener("click", () => {
    const total = allRows().length;
    if (!confirm(`Take all ${total} pictures off the desk? Texts that you did not export are lost.`)) return;
    clear();
    files.focus();
  });
  listenToOptions(() => {
    openJob();
    retryFailed();
  });
  const format = at("format", "select");
  format.append(...Object.entries(FORMATS).map(([value, { label }]) => make("option", { value }, label)));
  at("download", "button").addEventListener("click", () => {
    const { file, type } = FORMATS[format.value as Format];
    save(new Blob([takeAway(allRows(), format.value as Format)], { type }), file);
    say(`${file} is being saved.`);
  });
  at("copy", "button").addEventListener("click", () =>
    copy(takeAway(allRows(), format.value as Format, { isFile: false }), "All texts"),
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
  window.addEventListener("beforeunload", (event) => {
    // The browser asks whether to leave what it does not keep.
    if (!at("unkept", "p").hidden && allRows().length > 0) event.preventDefault();
  });
  window.addEventListener("pagehide", leaveRows);
  // On a phone, this is the last event that a page gets.
  document.addEventListener("visibilitychange", () => document.hidden && leaveRows());
  window.addEventListener("hashchange", openLink);

  await resume();
  openLink();
}

if (canHash()) await start();
else {
  at("add", "form").hidden = true;
  at("plain", "p").hidden = false;
}
