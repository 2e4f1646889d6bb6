/**
 * The three tiers as one cache: the nearest is asked first, and what a farther tier knew is copied to the nearer ones. It
 * never fails and never waits long: a tier that throws, stalls or answers rubbish is a miss and a warning in the log.
 */

import type { RequestScope } from "../request/scope.ts";
import { timed } from "../request/scope.ts";
import { TIMED_OUT, within } from "../request/within.ts";
import { COLO_TTL_SECONDS, type ColoTier } from "./colo.ts";
import type { CacheEntry } from "./entry.ts";
import { type KvTier, READ_CACHE_SECONDS } from "./kv.ts";
import { MEMORY_TTL_SECONDS, type MemoryTier } from "./memory.ts";
import { CACHE_TIER_NAMES, type CacheTierName } from "./tier-names.ts";

/** A write, delete or list goes to the store itself, wherever that is, and nobody's answer waits for a write. */
const STORE_TIMEOUT_MS = 10_000;

/**
 * How long other locations may still serve what was forgotten, because each tier may have read it from a farther one at the
 * last moment.
 */
export const FORGOTTEN_EVERYWHERE_SECONDS = READ_CACHE_SECONDS + COLO_TTL_SECONDS + MEMORY_TTL_SECONDS;

export interface CacheHit {
  readonly entry: CacheEntry;
  readonly tier: CacheTierName;
}

export interface CaptionCache {
  /** The tier that is asked last; undefined if there is none. */
  readonly farthest: CacheTierName | undefined;
  /** Looks in memory only: no I/O, no promise. */
  recall(key: string): CacheHit | undefined;
  /** Looks in every tier. */
  find(key: string, scope: RequestScope): Promise<CacheHit | undefined>;
  /** Fetches many keys into memory in one KV read, for a batch. */
  warm(keys: readonly string[], scope: RequestScope): Promise<void>;
  /** Writes to every tier, the slow ones after the answer; false when there is none. */
  store(key: string, entry: CacheEntry, scope: RequestScope): boolean;
  /**
   * Removes every key that begins with `prefix`, and those in `named` even if no tier lists them. Other isolates and
   * locations forget by the age of their entries. False if KV, which all read, may still hold any.
   */
  forget(prefix: string, named: readonly string[], scope: RequestScope): Promise<boolean>;
}

/** A tier that is absent is skipped. */
export interface Tiers {
  readonly memory?: MemoryTier;
  readonly colo?: ColoTier;
  readonly kv?: KvTier;
}

/** `timeoutMs` applies to reads. */
export function createCaptionCache(
  tiers: Tiers,
  { timeoutMs }: { readonly timeoutMs: number },
): CaptionCache {
  const { memory, colo, kv } = tiers;

  /** A tier's answer, or undefined when it fails or is too slow. */
  async function guarded<T>(
    tier: CacheTierName,
    scope: RequestScope,
    work: () => Promise<T>,
    ms = timeoutMs,
  ): Promise<T | undefined> {
    try {
      const value = await timed(scope, tier, () => within(ms, work()));
      if (value !== TIMED_OUT) return value;
      scope.log.warnings.push(`${tier} is slow`);
    } catch (error) {
      scope.log.warnings.push(`${tier} failed: ${error instanceof Error ? error.message : "unknown"}`);
    }
    return undefined;
  }

  /** The same for operations that go to the store itself. */
  const atStore: typeof guarded = (tier, scope, work) => guarded(tier, scope, work, STORE_TIMEOUT_MS);

  function writeLater(tier: "colo" | "kv", scope: RequestScope, work: () => Promise<void>): void {
    scope.background.waitUntil(atStore(tier, scope, work));
  }

  /**
   * The colo tier, skipped for background work: nobody nearby waits for its captions. They are in KV, and a location
   * fetches those that are asked for there.
   */
  const nearby = ({ priority }: RequestScope) =>
    priority === "background" && kv !== undefined ? undefined : colo;

  function recall(key: string): CacheHit | undefined {
    const entry = memory?.read(key);
    return entry === undefined ? undefined : { entry, tier: "memory" };
  }

  return {
    farthest: CACHE_TIER_NAMES.findLast((name) => tiers[name] !== undefined),
    recall,
    async find(key, scope) {
      const recalled = recall(key);
      if (recalled !== undefined) return recalled;
      const near = nearby(scope);
      const inColo = near && (await guarded("colo", scope, () => near.read(key)));
      if (inColo !== undefined) {
        memory?.write(key, inColo);
        return { entry: inColo, tier: "colo" };
      }
      const inKv = kv && (await guarded("kv", scope, () => kv.read(key)));
      if (inKv === undefined) return undefined;
      memory?.write(key, inKv);
      if (near) writeLater("colo", scope, () => near.write(key, inKv));
      return { entry: inKv, tier: "kv" };
    },
    async warm(keys, scope) {
      if (!memory || !kv) return;
      const unknown = keys.filter((key) => memory.read(key) === undefined);
      if (unknown.length === 0) return;
      const found = await guarded("kv", scope, () => kv.readMany(unknown));
      for (const [key, entry] of found ?? []) memory.write(key, entry);
    },
    store(key, entry, scope) {
      memory?.write(key, entry);
      const near = nearby(scope);
      if (near) writeLater("colo", scope, () => near.write(key, entry));
      if (kv) writeLater("kv", scope, () => kv.write(key, entry));
      return memory !== undefined || colo !== undefined || kv !== undefined;
    },
    async forget(prefix, named, scope) {
      const listed = kv === undefined ? [] : await atStore("kv", scope, () => kv.list(prefix));
      const keys = [...new Set([...named, ...(listed ?? [])])];
      const gone = await Promise.all(
        keys.map((key) =>
          atStore("kv", scope, async () => {
            await kv?.delete(key);
            return true;
          }),
        ),
      );
      // The nearer tiers come last, so that nothing is read back into them meanwhile.
      for (const key of colo === undefined ? [] : keys)
        await guarded("colo", scope, async () => colo?.delete(key));
      memory?.forget(prefix);
      return listed !== undefined && !gone.includes(undefined);
    },
  };
}
