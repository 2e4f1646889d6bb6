/**
 * API keys: what one looks like, and what is stored of it. The secret is shown once and never stored; KV holds its hash. A
 * key is `ate_{id}_{secret}`; the id is public, names the record, and may be logged.
 */

import * as z from "zod/mini";
import { SHA256_HEX } from "./content-hash.ts";
import { randomHex, toHex } from "./hex.ts";

/**
 * `read`: captions already made. `caption`: new ones. `batch`: many at once. `jobs`: whole libraries in the
 * background. `delete`: have captions forgotten.
 */
export const API_KEY_SCOPES = ["read", "caption", "batch", "jobs", "delete"] as const;
export type ApiKeyScope = (typeof API_KEY_SCOPES)[number];

/** Scopes of a key that is created without any. None of them can take a caption away from others. */
export const DEFAULT_API_KEY_SCOPES = [
  "read",
  "caption",
  "batch",
  "jobs",
] as const satisfies readonly ApiKeyScope[];

export const ApiKeyId = z.string().check(z.regex(/^[0-9a-f]{16}$/, "expected 16 hexadecimal digits"));

/** What KV holds for a key. */
export const ApiKeyRecord = z.object({
  id: ApiKeyId,
  name: z.string().check(z.minLength(1), z.maxLength(100)),
  secret_sha256: z.string().check(z.regex(SHA256_HEX)),
  scopes: z.array(z.enum(API_KEY_SCOPES)).check(z.minLength(1)),
  /** New captions per day, UTC; those found in the cache are free. */
  daily_quota: z.int().check(z.gte(1)),
  created_at: z.iso.datetime(),
});
export type ApiKeyRecord = z.infer<typeof ApiKeyRecord>;

/** Reads what KV holds; undefined if that is not a record that this version knows. */
export function parseApiKeyRecord(text: string): ApiKeyRecord | undefined {
  try {
    return ApiKeyRecord.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const SECRET_BYTES = 32;
const ID_BYTES = 8;
const KEY = /^ate_([0-9a-f]{16})_([0-9a-f]{64})$/;

/** Where KV holds the record of a key. */
export const apiKeyStorageKey = (id: string): string => `key/${id}`;
export const API_KEY_STORAGE_PREFIX = apiKeyStorageKey("");

/** A new key with 256 random bits, and its record. */
export async function createApiKey(
  options: Pick<ApiKeyRecord, "name" | "scopes" | "daily_quota"> & { readonly now: Date },
): Promise<{ readonly key: string; readonly record: ApiKeyRecord }> {
  const { now, ...kept } = options;
  const id = randomHex(ID_BYTES);
  const secret = randomHex(SECRET_BYTES);
  const secret_sha256 = toHex(await hashSecret(secret));
  return {
    key: `ate_${id}_${secret}`,
    record: { id, ...kept, secret_sha256, created_at: now.toISOString() },
  };
}

/** The parts of a well-formed key; undefined for anything else. */
export function parseApiKey(key: string): { readonly id: string; readonly secret: string } | undefined {
  const [, id, secret] = KEY.exec(key) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** SHA-256 is enough as a password hash because the secret is 256 random bits. */
export function hashSecret(secret: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
}
