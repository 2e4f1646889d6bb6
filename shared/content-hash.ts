/** The identity of a picture: SHA-256 (FIPS 180-4) of its bytes. Web Crypto only, so it runs in both runtimes. */

import { toHex } from "./hex.ts";

export const SHA256_HEX = /^[0-9a-f]{64}$/;

/** SHA-256 of `bytes` as 64 lower-case hexadecimal digits. */
export async function contentHash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return toHex(await crypto.subtle.digest("SHA-256", bytes));
}

/** Browsers withhold Web Crypto's digests from pages served over plain http, except from localhost: W3C Web Cryptography, 13. */
export const canHash = (): boolean => "subtle" in crypto;
