/**
 * Second tier: the Cache API of the location.
 * Why it is here: what one isolate stored, every isolate of the location can read at once, free of charge, while KV may
 * still answer with a miss that it cached up to 60 seconds ago. Why it is not enough: one location only, evicted at will,
 * and it does nothing on workers.dev.
 */

import { type CacheEntry, FAILURE_TTL_SECONDS, parseEntry } from "./entry.ts";

/** Short, because a deletion reaches only one location, and the others have to forget by themselves. */
export const COLO_TTL_SECONDS = 900;

/** The Cache API is keyed by URL; RFC 2606 reserves this name, and a named cache holds nothing but ours. */
const urlOf = (key: string) => `https://captions.invalid/${key}`;

export interface ColoTier {
  read(key: string): Promise<CacheEntry | undefined>;
  write(key: string, entry: CacheEntry): Promise<void>;
  delete(key: string): Promise<void>;
}

/** `open` gives the location's cache, e.g. `() => caches.open("captions")`. */
export function createColoTier(open: () => Promise<Cache>): ColoTier {
  return {
    async read(key) {
      const response = await (await open()).match(urlOf(key));
      return response === undefined ? undefined : parseEntry(await response.json());
    },
    async write(key, entry) {
      const seconds = entry.kind === "failure" ? FAILURE_TTL_SECONDS : COLO_TTL_SECONDS;
      const response = Response.json(entry, { headers: { "cache-control": `public, max-age=${seconds}` } });
      await (await open()).put(urlOf(key), response);
    },
    async delete(key) {
      await (await open()).delete(urlOf(key));
    },
  };
}
