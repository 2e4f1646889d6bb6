/** What the desk remembers over a reload: rows with their texts and hashes, never a picture. In this browser only. */

import { createStore, delMany, setMany, values } from "idb-keyval";
import * as z from "zod/mini";
import type { Row } from "./worklist.ts";

/** Under each row's id, which sorts as the rows were added. */
const rowsOf = createStore("alt-text-desk", "rows");
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

export interface Store {
  load(): Promise<readonly Row[]>;
  /** Saves a row a little later, with what else has changed by then: typing is one small write. */
  save(row: Row): void;
  /** Saves what is still to be saved. */
  flush(): Promise<void>;
  remove(ids: readonly string[]): Promise<void>;
}

/**
 * Where the browser forbids it (private windows) or has no room, nothing is remembered and all else works.
 *
 * @param onSaved told after each write whether all is kept
 */
export function createRowStore(onSaved: (isKept: boolean) => void): Store {
  const changed = new Map<string, Row>();
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const rows = [...changed];
    if (rows.length === 0) return;
    try {
      await setMany(rows, rowsOf);
      // What has changed since, or was removed, is left as it is.
      for (const [id, row] of rows) if (changed.get(id) === row) changed.delete(id);
      onSaved(true);
    } catch {
      onSaved(false);
    }
  }

  return {
    async load() {
      const stored = await values<unknown>(rowsOf).catch(() => []);
      return stored.flatMap((row) => StoredRow.safeParse(row).data ?? []);
    },
    save(row) {
      changed.set(row.id, row);
      timer ??= setTimeout(flush, SAVE_AFTER_MS);
    },
    flush,
    async remove(ids) {
      for (const id of ids) changed.delete(id);
      await delMany([...ids], rowsOf).catch(() => {});
    },
  };
}
