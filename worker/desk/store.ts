/** What the desk remembers over a reload: rows with their texts and hashes, never a picture. In this browser only. */

import { createStore, delMany, promisifyRequest, values } from "idb-keyval";
import * as z from "zod/mini";
import type { Row } from "./worklist.ts";

const NAME = "alt-text-desk";
/** Under each row's id, which sorts as the rows were added. */
const rowsOf = createStore(NAME, "rows");
const SAVE_AFTER_MS = 300;

/** Another version of this page may have left something else. */
const StoredRow: z.ZodMiniType<Row> = z.object({
  id: z.string(),
  name: z.string(),
  url: z.union([z.string(), z.undefined()]),
  sha256: z.union([z.string(), z.undefined()]),
  state: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("waiting") }),
    z.object({ kind: z.literal("asking") }),
    z.object({ kind: z.literal("captioned"), cached: z.boolean() }),
    z.object({ kind: z.literal("failed"), reason: z.string(), canRetry: z.boolean() }),
    z.object({ kind: z.literal("lost") }),
  ]),
  original: z.union([z.string(), z.undefined()]),
  needsReview: z.boolean(),
  text: z.string(),
  decision: z.enum(["open", "accepted", "decorative", "skipped"]),
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
  remove(ids: readonly string[]): Promise<void>;
}

/** Committed by itself: the write of a page that is being left is given up otherwise. */
const keep = (rows: readonly (readonly [string, Row])[]): Promise<void> =>
  rowsOf("readwrite", (store) => {
    for (const [id, row] of rows) store.put(row, id);
    store.transaction.commit();
    return promisifyRequest(store.transaction);
  });

const rowsAmong = (found: readonly unknown[]): Row[] =>
  found.flatMap((row) => StoredRow.safeParse(row).data ?? []);

/**
 * Where the browser forbids it (private windows) or has no room, nothing is remembered and all else works.
 *
 * @param onSaved told after each write whether all is kept
 */
export function createRowStore(onSaved: (isKept: boolean) => void, elsewhere: Elsewhere): Store {
  const changed = new Map<string, Row>();
  const windows = new BroadcastChannel(NAME);
  let timer: ReturnType<typeof setTimeout> | undefined;

  windows.addEventListener("message", ({ data }) => {
    const { kept = [], removed = [] } = News.safeParse(data).data ?? {};
    for (const row of rowsAmong(kept)) if (!changed.has(row.id)) elsewhere.kept(row);
    for (const id of removed) changed.delete(id);
    if (removed.length > 0) elsewhere.removed(removed);
  });

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const rows = [...changed];
    if (rows.length === 0) return;
    try {
      await keep(rows);
      // What has changed since, or was removed, is left as it is.
      for (const [id, row] of rows) if (changed.get(id) === row) changed.delete(id);
      windows.postMessage({ kept: rows.map(([, row]) => row), removed: [] });
      onSaved(true);
    } catch {
      onSaved(false);
    }
  }

  return {
    async load() {
      try {
        return rowsAmong(await values<unknown>(rowsOf));
      } catch {
        return [];
      }
    },
    save(row) {
      changed.set(row.id, row);
      timer ??= setTimeout(flush, SAVE_AFTER_MS);
    },
    flush,
    async remove(ids) {
      for (const id of ids) changed.delete(id);
      windows.postMessage({ kept: [], removed: ids });
      try {
        await delMany([...ids], rowsOf);
      } catch {
        // What cannot be removed could not be kept.
      }
    },
  };
}
