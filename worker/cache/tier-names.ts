/** The tiers of the cache, nearest first, as configuration, logs and `Cache-Status` call them. */

export const CACHE_TIER_NAMES = ["memory", "colo", "kv"] as const;
export type CacheTierName = (typeof CACHE_TIER_NAMES)[number];
