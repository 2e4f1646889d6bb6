/** The text of UTF-8 bytes, without a byte order mark; undefined if the bytes are not UTF-8. WHATWG Encoding, section 6. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    return undefined;
  }
}
