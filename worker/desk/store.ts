/** What the desk remembers over a reload: rows with their texts and hashes, never a picture. In this browser only. */

import { clear, createStore, del, get, set } from "idb-keyval";
import type { Row } from "./worklist.ts";

const rowsOf = createStore("alt-text-desk", "rows");
const ALL = "all";
const SAVE_AFTER_MS = 300;

export interface Store {
  load(): Promise<readonly Row[]>;
  /** Saves a little later, so that typing is one write. */
  save(rows: readonly Row[]): void;
  /** Saves what is still to be saved. */
  flush(): Promise<void>;
  clear(): Promise<void>;
}

/** Where the browser forbids it (private windows), nothing is remembered and all else works. */
export function createRowStore(): Store {
  let pending: readonly Row[] | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const rows = pending;
    pending = undefined;
    if (rows === undefined) return;
    await (rows.length === 0 ? del(ALL, rowsOf) : set(ALL, rows, rowsOf)).catch(() => {});
  }

  return {
    load: async () => (await get<readonly Row[]>(ALL, rowsOf).catch(() => undefined)) ?? [],
    save(rows) {
      pending = rows;
      timer ??= setTimeout(flush, SAVE_AFTER_MS);
    },
    flush,
    clear: () => clear(rowsOf).catch(() => {}),
  };
}
