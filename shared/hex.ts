/** Lower-case hexadecimal, in every runtime that the client runs in. */

export function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Random bytes, as hexadecimal. `crypto.randomUUID` is missing in pages served over plain http. */
export function randomHex(bytes: number): string {
  return toHex(crypto.getRandomValues(new Uint8Array(bytes)).buffer);
}
