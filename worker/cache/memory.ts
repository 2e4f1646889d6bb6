/**
 * First tier: the isolate's own memory. A caption expires after some minutes, because nobody can reach into every isolate
 * to delete it.
 * Why it is here: no I/O at all, so the hottest pictures cost microseconds. Why it is not enough: an isolate has 128 MB,
 * lives minutes to hours, and its neighbour knows nothing of it.
 */

import { LRUCache } from "lru-cache";
import { type CacheEntry, FAILURE_TTL_SECONDS } from "./entry.ts";

/** About a kilobyte each with its key, so some 4 MB. */
const MAX_ENTRIES = 4_000;

export const MEMORY_TTL_SECONDS = 300;

export interface MemoryTier {
  read(key: string): CacheEntry | undefined;
  write(key: string, entry: CacheEntry): void;
  /** Forgets every key that begins with `prefix`. */
  forget(prefix: string): void;
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
      const seconds = entry.kind === "failure" ? FAILURE_TTL_SECONDS : MEMORY_TTL_SECONDS;
      held.set(key, { entry, expiresAt: now() + seconds * 1000 });
    },
    forget(prefix) {
      for (const key of [...held.keys()]) if (key.startsWith(prefix)) held.delete(key);
    },
  };
}
