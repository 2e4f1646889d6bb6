/**
 * Knows API keys by their records in KV, and remembers them for a minute, so a revoked key works for at most that long.
 * While KV is down, a key that this isolate has seen within the last hour still works; one that it has not seen is answered
 * "unknown now", never "valid". Ids that do not exist are remembered apart, so that no number of them pushes out a key.
 */

import { LRUCache } from "lru-cache";
import {
  type ApiKeyRecord,
  apiKeyStorageKey,
  hashSecret,
  parseApiKey,
  parseApiKeyRecord,
} from "../../shared/api-key.ts";
import { since } from "../request/since.ts";
import { TIMED_OUT, within } from "../request/within.ts";

const FRESH_MS = 60_000;
const STALE_MS = 3_600_000;
const MAX_REMEMBERED = 2_000;
const MAX_ABSENT = 2_000;

export type KeyVerdict =
  | { readonly kind: "valid"; readonly record: ApiKeyRecord }
  | { readonly kind: "invalid" }
  /** Not known here, and not looked up because the caller may not ask. */
  | { readonly kind: "not-asked" }
  | { readonly kind: "unknown-now" };

export interface KeyRing {
  /** Whether a key is valid; `mayAsk` says whether KV is read for a key that is not known here. */
  verify(key: string, asked: Asked & { readonly mayAsk: () => boolean }): Promise<KeyVerdict>;
  /** The record of a key that was let in before, for work that goes on after the request. */
  record(id: string, asked: Asked): Promise<ApiKeyRecord | "absent" | "unknown-now">;
}

interface Asked {
  /** Told why a record could not be read. */
  readonly warn: (warning: string) => void;
}

interface Remembered {
  readonly record: ApiKeyRecord;
  readonly readAt: number;
}

type Found = Remembered | "absent" | "not-asked" | "unknown-now";

/** Stands in for the hash if there is no record, so that a wrong id takes as long as a wrong secret. */
const NO_HASH = new Uint8Array(32);

export function createKeyRing(options: {
  readonly namespace: KVNamespace;
  readonly timeoutMs: number;
  readonly now: () => number;
}): KeyRing {
  const { namespace, timeoutMs, now } = options;
  const remembered = new LRUCache<string, Remembered>({ max: MAX_REMEMBERED });
  /** Ids that were not in KV, with the time at which that was read. */
  const absent = new LRUCache<string, number>({ max: MAX_ABSENT });

  async function read(id: string, warn: Asked["warn"]): Promise<Remembered | "absent" | "unknown-now"> {
    try {
      const text = await within(timeoutMs, namespace.get(apiKeyStorageKey(id)));
      if (text === null) return "absent";
      const record = text === TIMED_OUT ? undefined : parseApiKeyRecord(text);
      if (record !== undefined) return { record, readAt: now() };
      warn(text === TIMED_OUT ? "key is slow" : `key failed: this version cannot read the record of ${id}`);
    } catch (error) {
      warn(`key failed: ${error instanceof Error ? error.message : "unknown"}`);
    }
    return "unknown-now";
  }

  async function find(
    id: string,
    { mayAsk, warn }: Asked & { readonly mayAsk: () => boolean },
  ): Promise<Found> {
    const known = remembered.get(id);
    if (known !== undefined && since(known.readAt, now()) < FRESH_MS) return known;
    if (known === undefined && since(absent.get(id) ?? Number.NEGATIVE_INFINITY, now()) < FRESH_MS)
      return "absent";
    if (known === undefined && !mayAsk()) return "not-asked";
    const found = await read(id, warn);
    switch (found) {
      case "unknown-now":
        return known !== undefined && since(known.readAt, now()) < STALE_MS ? known : found;
      case "absent":
        remembered.delete(id);
        absent.set(id, now());
        return found;
      default:
        remembered.set(id, found);
        return found;
    }
  }

  return {
    async record(id, { warn }) {
      const found = await find(id, { mayAsk: () => true, warn });
      if (found === "unknown-now" || found === "absent") return found;
      return found === "not-asked" ? "unknown-now" : found.record;
    },
    async verify(key, asked) {
      const parts = parseApiKey(key);
      if (parts === undefined) return { kind: "invalid" };
      const [found, presented] = await Promise.all([find(parts.id, asked), hashSecret(parts.secret)]);
      if (found === "unknown-now" || found === "not-asked") return { kind: found };
      const record = found === "absent" ? undefined : found.record;
      const expected = record === undefined ? NO_HASH : Uint8Array.fromHex(record.secret_sha256);
      const equal = crypto.subtle.timingSafeEqual(presented, expected);
      return equal && record !== undefined ? { kind: "valid", record } : { kind: "invalid" };
    },
  };
}
