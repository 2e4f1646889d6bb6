/** The rows of the desk: pictures that are captioned, shown, decided on and kept. */

import { offersFor } from "./alternatives.ts";
import type { NamedFile } from "./brought.ts";
import { createCaptioning, type Picture } from "./captioning.ts";
import { at } from "./elements.ts";
import { askForKey, client, givenKey, givenOptions } from "./options.ts";
import { createPictures, hashOf } from "./pictures.ts";
import { sayHowFar, showHowFar } from "./progress.ts";
import { createRowView, type RowView } from "./row-view.ts";
import { snippetsFor } from "./snippets.ts";
import { copy, hasWaitEnded, say, showPause } from "./status.ts";
import { createRowStore } from "./store.ts";
import { createThumbnails } from "./thumbnails.ts";
import { createWorklist, inOrder, type Row } from "./worklist.ts";

/** Rows that are made before the page gets a chance to do something else. */
const ROWS_AT_ONCE = 20;

const worklist = createWorklist();
const store = createRowStore(
  (isKept) => {
    at("unkept", "p").hidden = isKept;
  },
  {
    kept(theirs) {
      if (worklist.get(theirs.id) !== undefined) worklist.adopt(theirs);
      else if (isSettled(theirs)) {
        worklist.add(theirs);
        showRow(theirs);
      }
      const row = worklist.get(theirs.id);
      if (row === undefined) return;
      views.get(row.id)?.update(row);
      sayProgress();
    },
    removed(ids) {
      takeOff(ids);
      sayProgress();
    },
  },
);
const thumbnails = createThumbnails();
const views = new Map<string, RowView>();
const pictures = createPictures();
const captioning = createCaptioning({
  // The client does not wait by itself, because a wait is for all pictures, and a person sees it.
  client: () => client({ maxRetryAfterMs: 0 }),
  options: givenOptions,
  onPause: showPause,
});

worklist.onChange((row, how) => {
  views.get(row.id)?.update(row);
  store.save(row, how);
});

/** Shows the overall progress, and announces it if it is news. */
export function sayProgress(before = "", { isOutcome = false } = {}): void {
  sayHowFar(worklist, { before, isOutcome });
  showHowFar(worklist, { isBusy: captioning.busy > 0 });
}

/** Puts the rows into the order that is asked for. */
export function arrange(): void {
  const order = inOrder(worklist.rows, at("review-first", "input").checked);
  const elements = order.flatMap(({ id }) => views.get(id)?.element ?? []);
  at("rows", "ol").replaceChildren(...elements);
}

function addView(row: Row): void {
  const view = createRowView(row, {
    edit(id, text) {
      worklist.change(id, { text });
      void noteHash(id);
    },
    decide,
    retry: (id) => void caption(id),
    alternatives: (id) => {
      const now = worklist.get(id) ?? row;
      const picture = pictures.get(id) ?? { sha256: now.sha256 ?? "" };
      return offersFor(now, picture, { client: client(), options: givenOptions() });
    },
    copy,
    say,
    snippets: (id) =>
      snippetsFor(worklist.get(id) ?? row, {
        isOnDisk: pictures.isOnDisk(id),
        origin: location.origin,
        options: givenOptions(),
        hasKey: givenKey() !== "",
      }),
    linkOf: (id) => {
      const sha256 = worklist.get(id)?.sha256;
      return sha256 === undefined ? undefined : `/#caption=${sha256}`;
    },
  });
  views.set(row.id, view);
  at("rows", "ol").append(view.element);
}

let lastAdded = 0;

/** A new id. Ids sort in the order in which rows are added, also after a reload and among those of another window. */
function newRowId(): string {
  lastAdded = Math.max(lastAdded + 1, Date.now() * 1000);
  return `row-${lastAdded.toString(36)}-${crypto.randomUUID()}`;
}

/** Lets the page respond to keys while many rows are added. */
const breath = () => new Promise((resolve) => setTimeout(resolve));

/**
 * Adds a row and has its picture captioned, unless `signal` was aborted. `isOnDisk`: its name is the name of a file on the
 * person's disk.
 */
export function addRow(
  name: string,
  picture: Picture,
  { isOnDisk = false, signal }: { isOnDisk?: boolean; signal?: AbortSignal } = {},
): void {
  const id = newRowId();
  pictures.set(id, picture, { isOnDisk });
  worklist.add({
    id,
    name,
    url: "url" in picture ? picture.url : undefined,
    sha256: "sha256" in picture ? picture.sha256 : undefined,
  });
  const row = worklist.get(id);
  if (row === undefined) return;
  addView(row);
  at("work", "section").hidden = false;
  showThumbnail(id, picture);
  void caption(id, signal);
}

function showThumbnail(id: string, picture: Picture): void {
  const view = views.get(id);
  if (view === undefined) return;
  if ("file" in picture) thumbnails.make(view.element, picture.file, view.show);
  if ("url" in picture) view.show(picture.url);
}

/** Aborted to stop files that are being added. */
let adding = new AbortController();

/** Adds files. A file whose row is on the desk without its picture gives that row its picture back. `before` is announced first. */
export async function addFiles(
  files: readonly NamedFile[],
  { onDisk, before = "" }: { onDisk: boolean; before?: string },
): Promise<void> {
  const isOver = adding.signal;
  // One signal for all files, so that stopping meanwhile stops all of them.
  const { signal } = captioning;
  for (const [i, { file, name }] of files.entries()) {
    if (i % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await breath();
    const known = await lostRowOf(file, name);
    if (isOver.aborted) return;
    if (known === undefined) addRow(name || "pasted picture", { file }, { isOnDisk: onDisk, signal });
    else {
      pictures.set(known.id, { file }, { isOnDisk: onDisk });
      showThumbnail(known.id, { file });
      if (known.state.kind !== "captioned") void caption(known.id, signal);
    }
  }
  sayProgress(before);
}

async function lostRowOf(file: File, name: string): Promise<Row | undefined> {
  const hasBytes = ({ id }: Row) => "file" in (pictures.get(id) ?? {});
  const candidates = worklist.rows.filter((row) => !hasBytes(row) && row.url === undefined);
  if (candidates.length === 0) return undefined;
  // A file that cannot be read gets a row that says so.
  const sha256 = await hashOf(file);
  if (sha256 === undefined) return undefined;
  // By its name only if nobody has worked on it: another folder may have another picture of that name.
  const isUntouched = (row: Row) => row.sha256 === undefined && row.text === "" && row.decision === "open";
  return (
    candidates.find((row) => row.sha256 === sha256) ??
    candidates.find((row) => isUntouched(row) && row.name === name)
  );
}

async function caption(id: string, signal?: AbortSignal): Promise<void> {
  const picture = pictures.get(id);
  if (picture === undefined) return;
  worklist.change(id, { state: { kind: "waiting" } });
  const onTurn = (kind: "asking" | "waiting") => worklist.change(id, { state: { kind } });
  const outcome = await captioning.caption(picture, onTurn, signal);
  // The row was removed meanwhile, which has already been announced.
  if (worklist.get(id) === undefined) return;
  let news = captioning.busy === 0 ? "Captioning is done." : "";
  switch (outcome.kind) {
    case "captioned":
      worklist.caption(id, outcome.caption);
      if (hasWaitEnded()) sayProgress("Captioning continues.");
      break;
    case "lost":
      worklist.change(id, { state: { kind: "lost" } });
      break;
    case "cancelled":
      worklist.change(id, { state: { kind: "failed", reason: "Stopped.", canRetry: true } });
      break;
    case "failed":
      worklist.change(id, { state: outcome });
      if (outcome.needsKey && askForKey(outcome.reason)) news = outcome.reason;
      break;
  }
  sayProgress(news, { isOutcome: true });
  // It is known now which rows need review. Rows are not moved while somebody is working in them.
  const isAtWork = at("rows", "ol").contains(document.activeElement);
  if (captioning.busy === 0 && at("review-first", "input").checked && !isAtWork) arrange();
}

/** Rows whose files are being hashed, or cannot be. */
const hashed = new Set<string>();

/**
 * Notes the hash of a file that could not be captioned, because it is exported with the text that a person writes for it,
 * and brings the file back to that text after a reload.
 */
async function noteHash(id: string): Promise<void> {
  const picture = pictures.get(id);
  if (worklist.get(id)?.sha256 !== undefined || picture === undefined || !("file" in picture)) return;
  if (hashed.has(id)) return;
  hashed.add(id);
  const sha256 = await hashOf(picture.file);
  if (sha256 !== undefined) worklist.change(id, { sha256 });
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
  void noteHash(id);
  void store.flush();
  sayProgress(SAID[decision]);
  if (decision === "open") views.get(id)?.focus();
  else {
    const next = worklist.next(id, order);
    if (next === undefined) atEnd().focus();
    else views.get(next.id)?.focus();
  }
}

/** What gets the focus when all rows are decided; a disabled button cannot take it. */
function atEnd(): HTMLElement {
  const download = at("download", "button");
  return download.disabled ? at("work-title", "h2") : download;
}

const isSettled = ({ state, decision }: Row): boolean => state.kind === "captioned" || decision !== "open";

/** Shows a row that is on the list, with the picture at its address. */
function showRow(row: Row): void {
  addView(row);
  if (row.url === undefined) return;
  const picture: Picture = { url: row.url };
  pictures.set(row.id, picture);
  showThumbnail(row.id, picture);
}

/** Brings back the rows that were left on the desk. */
export async function resume(): Promise<void> {
  const left = await store.load();
  // Added all at once, so that changes made in another window from now on find their rows.
  const rows = left.filter(({ id }) => worklist.get(id) === undefined);
  for (const row of rows) worklist.add({ ...row, state: isSettled(row) ? row.state : { kind: "lost" } });
  for (const [i, { id }] of rows.entries()) {
    if (i % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await breath();
    const row = worklist.get(id);
    if (row === undefined) continue;
    showRow(row);
    if (row.url !== undefined && !isSettled(row)) void caption(id);
  }
  // Firefox fills a form in again after a reload.
  if (at("review-first", "input").checked) arrange();
  if (worklist.rows.length > 0) sayProgress("As you left it.");
}

/** All rows, in the order in which they were added. */
export const allRows = (): readonly Row[] => worklist.rows;

/** Leaves unsaved rows behind when the page may end now. */
export const leaveRows = (): void => store.leave();

/** Retries the rows that failed and might succeed now. */
export function retryFailed(): void {
  for (const { id, state } of worklist.rows) if (state.kind === "failed" && state.canRetry) void caption(id);
}

export const stopCaptioning = (): void => captioning.cancel();

export function undo(): void {
  const id = worklist.undo();
  sayProgress(id === undefined ? "There is nothing to undo." : "Undone.");
  if (id !== undefined) views.get(id)?.focus();
}

/** Removes all rows from the desk, for good. */
export function clear(): void {
  adding.abort();
  adding = new AbortController();
  captioning.cancel();
  thumbnails.clear();
  const ids = worklist.rows.map(({ id }) => id);
  void store.remove(ids);
  takeOff(ids);
  sayProgress("The desk is empty.");
}

function takeOff(ids: readonly string[]): void {
  worklist.remove(ids);
  for (const id of ids) {
    views.get(id)?.element.remove();
    views.delete(id);
    pictures.delete(id);
  }
}
