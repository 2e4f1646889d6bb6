/** Lower-case hexadecimal, in every runtime that the client runs in. */

export function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** So many random bytes. `crypto.randomUUID` is not there for a page that came over plain http. */
export function randomHex(bytes: number): string {
  return toHex(crypto.getRandomValues(new Uint8Array(bytes)).buffer);
}
