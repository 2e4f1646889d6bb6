/**
 * Third tier: Workers KV.
 * Why it is here: it is the only tier that every location shares and that outlives them all. Why it is last: a cold read
 * travels far, a write may take 60 seconds to be seen elsewhere, and a miss is cached for as long as a hit, so `cacheTtl`
 * stays at its minimum.
 * Failures are not written here: in a flood of rubbish each would cost a paid write.
 */

import { type CacheEntry, parseEntry } from "./entry.ts";

/** How long a location may still read the previous state. */
export const READ_CACHE_SECONDS = 60;

/** Entries of replaced revisions have to go some day; expired ones that are still asked for are made again. */
const CAPTION_TTL_SECONDS = 365 * 24 * 3600;

/** KV reads at most this many keys in one call. */
const MAX_KEYS_A_READ = 100;

export interface KvTier {
  read(key: string): Promise<CacheEntry | undefined>;
  /** One call for up to 100 keys, which counts as one request against the platform's limit. */
  readMany(keys: readonly string[]): Promise<Map<string, CacheEntry>>;
  write(key: string, entry: CacheEntry): Promise<void>;
  /** Keys that begin with `prefix`; those written elsewhere a moment ago may be missing. */
  list(prefix: string): Promise<readonly string[]>;
  delete(key: string): Promise<void>;
}

/** Rejects with what `namespace` throws; the cache above the tiers turns that into a miss. */
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
