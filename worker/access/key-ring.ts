/**
 * Knows API keys by their records in KV, and remembers them for a minute: a revoked key works that long at most.
 * While KV is down, a key that this isolate has seen within the last hour still works; one that it has not is answered
 * "unknown now", never "valid".
 */

import { LRUCache } from "lru-cache";
import { ApiKeyRecord, apiKeyStorageKey, hashSecret, parseApiKey } from "../../shared/api-key.ts";
import { TIMED_OUT, within } from "../request/within.ts";

const FRESH_MS = 60_000;
const STALE_MS = 3_600_000;
const MAX_REMEMBERED = 2_000;

export type KeyVerdict =
  | { readonly kind: "valid"; readonly record: ApiKeyRecord }
  | { readonly kind: "invalid" }
  | { readonly kind: "unknown-now" };

export interface KeyRing {
  verify(key: string): Promise<KeyVerdict>;
}

interface Remembered {
  /** Undefined: there is no such key. */
  readonly record: ApiKeyRecord | undefined;
  readonly readAt: number;
}

/** Compared with where there is no record, so that a wrong id takes as long as a wrong secret. */
const NO_HASH = new Uint8Array(32);

export function createKeyRing(options: {
  readonly namespace: KVNamespace;
  readonly timeoutMs: number;
  readonly now: () => number;
}): KeyRing {
  const { namespace, timeoutMs, now } = options;
  const remembered = new LRUCache<string, Remembered>({ max: MAX_REMEMBERED });

  async function read(id: string): Promise<Remembered | undefined> {
    try {
      const text = await within(timeoutMs, namespace.get(apiKeyStorageKey(id)));
      if (text === TIMED_OUT) return undefined;
      const record = text === null ? undefined : ApiKeyRecord.parse(JSON.parse(text));
      return { record, readAt: now() };
    } catch {
      return undefined;
    }
  }

  async function find(id: string): Promise<Remembered | undefined> {
    const known = remembered.get(id);
    if (known !== undefined && now() - known.readAt < FRESH_MS) return known;
    const found = await read(id);
    if (found === undefined)
      return known !== undefined && now() - known.readAt < STALE_MS ? known : undefined;
    remembered.set(id, found);
    return found;
  }

  return {
    async verify(key) {
      const parts = parseApiKey(key);
      if (parts === undefined) return { kind: "invalid" };
      const [found, presented] = await Promise.all([find(parts.id), hashSecret(parts.secret)]);
      if (found === undefined) return { kind: "unknown-now" };
      const { record } = found;
      const expected = record === undefined ? NO_HASH : Uint8Array.fromHex(record.secret_sha256);
      const equal = crypto.subtle.timingSafeEqual(presented, expected);
      return equal && record !== undefined ? { kind: "valid", record } : { kind: "invalid" };
    },
  };
}
