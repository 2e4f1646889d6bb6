/** What the desk remembers over a reload: rows with their texts and hashes, never a picture. In this browser only. */

import { createStore, delMany, promisifyRequest, values } from "idb-keyval";
import * as z from "zod/mini";
import { forget, idsLeft, leave, left, onLeft } from "./journal.ts";
import type { Row } from "./worklist.ts";

const NAME = "alt-text-desk";
/** Under each row's id, which sorts as the rows were added. */
const rowsOf = createStore(NAME, "rows");
const SAVE_AFTER_MS = 300;

/** A row as it is kept. */
interface StoredRow extends Row {
  /** Milliseconds since 1970, after all that this window knew of. Of two windows' words for one picture the later count. */
  readonly changedAt: number;
}

/** The key is absent where the text was: JSON has no `undefined`. */
const MaybeText = z.catch(z.union([z.string(), z.undefined()]), undefined);

/** Another version of this page may have left something else. */
const StoredRow: z.ZodMiniType<StoredRow> = z.object({
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
  changedAt: z._default(z.number(), 0),
});

const News = z.object({ kept: z.array(z.unknown()), removed: z.array(z.string()) });

/** Told of what another window of this browser has done. */
export interface Elsewhere {
  /** This row is kept as it is here: older words are not to be written over it. */
  kept(row: Row): void;
  removed(ids: readonly string[]): void;
}

export interface Store {
  load(): Promise<readonly Row[]>;
  /** Saves a row a little later, with what else has changed by then: typing is one small write. */
  save(row: Row): void;
  /** Saves what is still to be saved. */
  flush(): Promise<void>;
  /** The same for a page that may end before it is done: the next one goes on with it. */
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

const isLater = (row: StoredRow, than: StoredRow | undefined): boolean =>
  row.changedAt > (than?.changedAt ?? 0);

/** What a page that is gone had changed of a row, if that is later than `than`. */
function leftLater(id: string, than: StoredRow | undefined): StoredRow | undefined {
  const [row] = rowsAmong([left(id)]);
  return row !== undefined && isLater(row, than) ? row : undefined;
}

/** Writes the rows that are later than what is there. */
const keep = (rows: readonly StoredRow[]): Promise<void> =>
  rowsOf("readwrite", (store) => {
    for (const row of rows) {
      const found = store.get(row.id);
      found.onsuccess = () => {
        const [there] = rowsAmong([found.result]);
        if (isLater(row, there)) store.put(row, row.id);
      };
    }
    return promisifyRequest(store.transaction);
  });

/**
 * Where the browser forbids it (private windows) or has no room, nothing is remembered and all else works.
 *
 * @param onSaved told after each write whether all is kept
 */
export function createRowStore(onSaved: (isKept: boolean) => void, elsewhere: Elsewhere): Store {
  const changed = new Map<string, StoredRow>();
  const removed = new Set<string>();
  let latest = 0;
  const windows = new BroadcastChannel(NAME);
  let timer: ReturnType<typeof setTimeout> | undefined;

  windows.addEventListener("message", ({ data }) => {
    const news = News.safeParse(data).data ?? { kept: [], removed: [] };
    for (const row of rowsAmong(news.kept)) heard(row);
    if (news.removed.length === 0) return;
    // Again, as a write of this window may have come after theirs.
    void drop(news.removed);
    elsewhere.removed(news.removed);
  });
  onLeft((id) => {
    const row = leftLater(id, undefined);
    if (row !== undefined) heard(row);
  });

  /** Of another window; what has changed here since stays. */
  function heard(row: StoredRow): void {
    latest = Math.max(latest, row.changedAt);
    if (removed.has(row.id) || !isLater(row, changed.get(row.id))) return;
    changed.delete(row.id);
    elsewhere.kept(row);
  }

  function keepSoon(row: StoredRow): void {
    changed.set(row.id, row);
    timer ??= setTimeout(flush, SAVE_AFTER_MS);
  }

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const rows = [...changed.values()];
    if (rows.length === 0) return;
    try {
      await keep(rows);
      for (const row of rows) {
        // What has changed since, or was removed, is left as it is.
        if (changed.get(row.id) === row) changed.delete(row.id);
        if (leftLater(row.id, row) === undefined) forget(row.id);
      }
      windows.postMessage({ kept: rows, removed: [] });
      onSaved(true);
    } catch {
      onSaved(false);
    }
  }

  async function drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      removed.add(id);
      changed.delete(id);
      forget(id);
    }
    try {
      await delMany([...ids], rowsOf);
    } catch {
      // What cannot be removed could not be kept.
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
      for (const { changedAt } of rows.values()) latest = Math.max(latest, changedAt);
      return [...rows.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    save(row) {
      // A clock that was put back makes nothing older.
      latest = Math.max(latest + 1, Date.now());
      keepSoon({ ...row, changedAt: latest });
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
