/**
 * Holds back addresses that try keys which do not exist, because each such try costs a read of KV. For an address that has
 * tried too many, no key is looked up for a minute; keys that the isolate knows still work from there.
 */

import { LRUCache } from "lru-cache";

/** `period` of the binding in wrangler.toml. */
export const STRANGER_PERIOD_SECONDS = 60;

const MAX_REMEMBERED = 2_000;
/** Callers whose address the platform does not give share one allowance. */
const NOWHERE = "nowhere";

export interface StrangerLimit {
  /** Whether this address may have a key looked up. */
  mayAsk(address: string | undefined): boolean;
  /** Counts a key from this address that does not exist. */
  count(address: string | undefined): Promise<void>;
}

export function createStrangerLimit(options: {
  readonly rateLimit: RateLimit;
  readonly now: () => number;
}): StrangerLimit {
  const { rateLimit, now } = options;
  const heldBackUntil = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  return {
    mayAsk: (address) => (heldBackUntil.get(network(address)) ?? 0) <= now(),
    async count(address) {
      const { success } = await rateLimit.limit({ key: `stranger/${network(address)}` });
      if (!success) heldBackUntil.set(network(address), now() + STRANGER_PERIOD_SECONDS * 1000);
    },
  };
}

/** The addresses that one party holds: an IPv4 address, or the /64 of an IPv6 one, RFC 6177. */
function network(address: string | undefined): string {
  if (address === undefined) return NOWHERE;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const groups = head.split(":");
  if (tail !== undefined) {
    const written = groups.length + tail.split(":").length;
    groups.push(...Array.from({ length: Math.max(0, 8 - written) }, () => "0"), ...tail.split(":"));
  }
  return groups.slice(0, 4).join(":");
}
