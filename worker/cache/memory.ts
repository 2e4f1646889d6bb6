/**
 * First tier: the isolate's own memory.
 * Why it is here: no I/O at all, so the hottest pictures cost microseconds. Why it is not enough: an isolate has 128 MB,
 * lives minutes to hours, and its neighbour knows nothing of it.
 */

import { LRUCache } from "lru-cache";
import { type CacheEntry, FAILURE_TTL_SECONDS } from "./entry.ts";

/** About a kilobyte each with its key, so some 4 MB. */
const MAX_ENTRIES = 4_000;

export interface MemoryTier {
  read(key: string): CacheEntry | undefined;
  write(key: string, entry: CacheEntry): void;
}

/** A least-recently-used map; `now` is epoch milliseconds. */
export function createMemoryTier(options: {
  readonly now: () => number;
  readonly maxEntries?: number;
}): MemoryTier {
  const { now, maxEntries = MAX_ENTRIES } = options;
  const held = new LRUCache<string, { readonly entry: CacheEntry; readonly expiresAt: number }>({
    max: maxEntries,
  });
  return {
    read(key) {
      const found = held.get(key);
      if (found === undefined) return undefined;
      if (found.expiresAt > now()) return found.entry;
      held.delete(key);
      return undefined;
    },
    write(key, entry) {
      const expiresAt =
        entry.kind === "failure" ? now() + FAILURE_TTL_SECONDS * 1000 : Number.POSITIVE_INFINITY;
      held.set(key, { entry, expiresAt });
    },
  };
}
