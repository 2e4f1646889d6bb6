/**
 * Third tier: Workers KV.
 * Why it is here: it is the only tier that every location shares and that outlives them all. Why it is last: a cold
 * read travels, a write is seen elsewhere only within 60 seconds, and a miss is cached for as long as a hit, so
 * `cacheTtl` stays at its least.
 * Failures are not written here: a flood of rubbish would cost a paid write each.
 */

import { type CacheEntry, parseEntry } from "./entry.ts";

/** How long a location may read what was there before. */
export const READ_CACHE_SECONDS = 60;

/** Entries of replaced revisions must go one day; those still asked for are made again then. */
const CAPTION_TTL_SECONDS = 365 * 24 * 3600;

/** KV reads at most this many keys in one call. */
const MAX_KEYS_A_READ = 100;

export interface KvTier {
  read(key: string): Promise<CacheEntry | undefined>;
  /** One call for up to 100 keys, which counts as one request against the platform's limit. */
  readMany(keys: readonly string[]): Promise<Map<string, CacheEntry>>;
  write(key: string, entry: CacheEntry): Promise<void>;
  /** Keys that begin so: those written a moment ago elsewhere may be missing. */
  list(prefix: string): Promise<readonly string[]>;
  delete(key: string): Promise<void>;
}

/** Rejects with what `namespace` throws: the cache over the tiers makes a miss of it. */
export function createKvTier(namespace: KVNamespace): KvTier {
  return {
    async read(key) {
      return parseText(await namespace.get(key, { type: "text", cacheTtl: READ_CACHE_SECONDS }));
    },
    async readMany(keys) {
      const found = new Map<string, CacheEntry>();
      for (let start = 0; start < keys.length; start += MAX_KEYS_A_READ) {
        const part = keys.slice(start, start + MAX_KEYS_A_READ);
        const values = await namespace.get(part, { type: "text", cacheTtl: READ_CACHE_SECONDS });
        for (const [key, text] of values) {
          const entry = parseText(text);
          if (entry !== undefined) found.set(key, entry);
        }
      }
      return found;
    },
    async write(key, entry) {
      if (entry.kind === "failure") return;
      await namespace.put(key, JSON.stringify(entry), { expirationTtl: CAPTION_TTL_SECONDS });
    },
    async list(prefix) {
      const names: string[] = [];
      let cursor: string | null = null;
      do {
        const page: KVNamespaceListResult<unknown> = await namespace.list({ prefix, cursor });
        names.push(...page.keys.map(({ name }) => name));
        cursor = page.list_complete ? null : page.cursor;
      } while (cursor !== null);
      return names;
    },
    delete: (key) => namespace.delete(key),
  };
}

function parseText(text: string | null): CacheEntry | undefined {
  if (text === null) return undefined;
  try {
    return parseEntry(JSON.parse(text));
  } catch {
    return undefined;
  }
}
