/** What the desk remembers across a reload: rows with their texts and hashes, never a picture. In this browser only. */

import { createStore, delMany, promisifyRequest, values } from "idb-keyval";
import * as z from "zod/mini";
import { forget, idsLeft, leave, left, onLeft } from "./journal.ts";
import type { Row } from "./worklist.ts";

const NAME = "alt-text-desk";
/** Rows by their ids, which sort in the order in which rows were added. */
const rowsOf = createStore(NAME, "rows");
const SAVE_AFTER_MS = 300;

/**
 * A row as it is kept, with when its words (text and decision) and all the rest were changed: milliseconds since 1970,
 * later than every change that this window knew of. If two windows change one row, the later words and the later caption
 * count, each by themselves: a caption that comes to one window must not replace what is typed in another.
 */
interface StoredRow extends Row {
  readonly wordsAt: number;
  readonly captionAt: number;
}

/** The key is absent if the text was undefined, because JSON has no `undefined`. */
const MaybeText = z.catch(z.union([z.string(), z.undefined()]), undefined);

/** Checked, because another version of this page may have left something else. */
const Stored = z.object({
  id: z.string(),
  name: z.string(),
  url: MaybeText,
  sha256: MaybeText,
  state: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("waiting") }),
    z.object({ kind: z.literal("asking") }),
    z.object({ kind: z.literal("captioned"), cached: z.boolean() }),
    z.object({ kind: z.literal("failed"), reason: z.string(), canRetry: z.boolean() }),
    z.object({ kind: z.literal("lost") }),
  ]),
  original: MaybeText,
  model: MaybeText,
  needsReview: z.boolean(),
  text: z.string(),
  decision: z.enum(["open", "accepted", "decorative", "skipped"]),
  wordsAt: z.optional(z.number()),
  captionAt: z.optional(z.number()),
  /** In place of both, from older pages. */
  changedAt: z._default(z.number(), 0),
});

const StoredRow: z.ZodMiniType<StoredRow> = z.pipe(
  Stored,
  z.transform(({ changedAt, wordsAt = changedAt, captionAt = changedAt, ...row }) => ({
    ...row,
    wordsAt,
    captionAt,
  })),
);

const News = z.object({ kept: z.array(z.unknown()), removed: z.array(z.string()) });

/** Called with what another window of this browser has done. */
export interface Elsewhere {
  /** The other window has stored this row as given: older words must not be written over it. */
  kept(row: Row): void;
  removed(ids: readonly string[]): void;
}

export interface Store {
  load(): Promise<readonly Row[]>;
  /**
   * Saves a row a little later, with whatever else has changed by then, so that typing causes one small write.
   * `isByPerson`: its text or decision was changed by a person, and nothing else.
   */
  save(row: Row, how: { readonly isByPerson: boolean }): void;
  /** Saves at once what is still unsaved. */
  flush(): Promise<void>;
  /** The same for a page that may end before the write is done; the next page then goes on with it. */
  leave(): void;
  remove(ids: readonly string[]): Promise<void>;
}

const rowsAmong = (found: readonly unknown[]): StoredRow[] =>
  found.flatMap((row) => StoredRow.safeParse(row).data ?? []);

async function rowsKept(): Promise<readonly StoredRow[]> {
  try {
    return rowsAmong(await values<unknown>(rowsOf));
  } catch {
    return [];
  }
}

/** Whether the caption of `row` counts. One that is only asked for, which two windows may do at once, does not replace one. */
function hasLaterCaption(row: StoredRow, known: StoredRow): boolean {
  const isCaptioned = row.state.kind === "captioned";
  if (isCaptioned !== (known.state.kind === "captioned")) return isCaptioned;
  return row.captionAt > known.captionAt;
}

/** The later words and the later caption of two versions of a row; `known` itself if `row` has neither. */
function newest(row: StoredRow, known: StoredRow | undefined): StoredRow {
  if (known === undefined) return row;
  const caption = hasLaterCaption(row, known) ? row : known;
  // If nobody has changed the words, they are those that came with the caption.
  const words = row.wordsAt === known.wordsAt ? caption : row.wordsAt > known.wordsAt ? row : known;
  if (caption === words) return caption;
  const { text, decision, wordsAt } = words;
  return { ...caption, text, decision, wordsAt };
}

/** What a page that is gone left of the row, together with `known`; undefined if that has it all. */
function leftLater(id: string, known: StoredRow | undefined): StoredRow | undefined {
  const [row] = rowsAmong([left(id)]);
  if (row === undefined) return undefined;
  const both = newest(row, known);
  return both === known ? undefined : both;
}

/** Writes what is later than in the store, and returns the rows as they are there then. */
const keep = (rows: readonly StoredRow[]): Promise<readonly StoredRow[]> =>
  rowsOf("readwrite", async (store) => {
    const kept: StoredRow[] = [];
    for (const row of rows) {
      const found = store.get(row.id);
      found.onsuccess = () => {
        const [there] = rowsAmong([found.result]);
        const both = newest(row, there);
        if (both !== there) store.put(both, row.id);
        kept.push(both);
      };
    }
    await promisifyRequest(store.transaction);
    return kept;
  });

/**
 * If the browser forbids storage (private windows) or has no room, nothing is remembered and everything else works.
 *
 * @param onSaved called after each write with whether everything is stored
 */
export function createRowStore(onSaved: (isKept: boolean) => void, elsewhere: Elsewhere): Store {
  /** Each row as this window knows it. */
  const known = new Map<string, StoredRow>();
  /** Those that are not saved yet. */
  const changed = new Map<string, StoredRow>();
  const removed = new Set<string>();
  let latest = 0;
  const windows = new BroadcastChannel(NAME);
  let timer: ReturnType<typeof setTimeout> | undefined;

  windows.addEventListener("message", ({ data }) => {
    const news = News.safeParse(data).data ?? { kept: [], removed: [] };
    for (const row of rowsAmong(news.kept)) heard(row);
    if (news.removed.length === 0) return;
    // Dropped again, because a write of this window may have followed theirs.
    void drop(news.removed);
    elsewhere.removed(news.removed);
  });
  onLeft((id) => {
    const row = leftLater(id, undefined);
    if (row !== undefined) heard(row);
  });

  function know(row: StoredRow): void {
    latest = Math.max(latest, row.wordsAt, row.captionAt);
    known.set(row.id, row);
  }

  /** Takes over what is later in a row of another window. */
  function heard(row: StoredRow): void {
    const mine = known.get(row.id);
    const both = newest(row, mine);
    if (removed.has(row.id) || both === mine) return;
    know(both);
    if (changed.has(row.id)) changed.set(row.id, both);
    elsewhere.kept(both);
  }

  function keepSoon(row: StoredRow): void {
    know(row);
    changed.set(row.id, row);
    timer ??= setTimeout(flush, SAVE_AFTER_MS);
  }

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const rows = [...changed.values()];
    if (rows.length === 0) return;
    try {
      const kept = await keep(rows);
      for (const row of rows) {
        // Rows that have changed since, or were removed, are left as they are.
        if (changed.get(row.id) === row) changed.delete(row.id);
        if (leftLater(row.id, row) === undefined) forget(row.id);
      }
      windows.postMessage({ kept, removed: [] });
      onSaved(true);
    } catch {
      onSaved(false);
    }
  }

  async function drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      removed.add(id);
      changed.delete(id);
      known.delete(id);
      forget(id);
    }
    try {
      await delMany([...ids], rowsOf);
    } catch {
      // If rows cannot be removed, they could not be stored either.
    }
  }

  return {
    async load() {
      const rows = new Map((await rowsKept()).map((row) => [row.id, row]));
      for (const id of idsLeft()) {
        const row = leftLater(id, rows.get(id));
        if (row === undefined) forget(id);
        else {
          rows.set(id, row);
          keepSoon(row);
        }
      }
      for (const row of rows.values()) know(row);
      return [...rows.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    save(row, { isByPerson }) {
      // Always later than before, even if the clock was set back.
      const now = Math.max(latest + 1, Date.now());
      const { wordsAt = 0, captionAt = 0 } = known.get(row.id) ?? {};
      keepSoon({ ...row, ...(isByPerson ? { wordsAt: now, captionAt } : { wordsAt, captionAt: now }) });
    },
    flush,
    leave() {
      for (const row of changed.values()) leave(row.id, row);
      void flush();
    },
    remove(ids) {
      windows.postMessage({ kept: [], removed: ids });
      return drop(ids);
    },
  };
}
