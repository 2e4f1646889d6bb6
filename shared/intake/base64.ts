/** Pictures as text: base64 and base64url (RFC 4648, sections 4 and 5), plain or as a data URL (RFC 2397). */

import { MAX_IMAGE_BYTES } from "../limits.ts";
import { failure, type Result, success } from "../result.ts";

const DATA_URL = /^data:[^,]{0,200}; *base64,/i;
/** Leaves room for the prefix, and for the line ends of text wrapped at 64 or 76 characters. */
const MAX_CHARACTERS = Math.ceil((MAX_IMAGE_BYTES * 4) / 3) * 1.05 + 256;

/**
 * The bytes of `text`; white space and missing padding are ignored.
 * Fails with `empty-body`, `bad-request` or `image-too-large`.
 */
export function decodeBase64(text: string): Result<Uint8Array<ArrayBuffer>> {
  if (text.length > MAX_CHARACTERS) return imageTooLarge();
  const trimmed = text.trimStart();
  const prefix = DATA_URL.exec(trimmed)?.[0] ?? "";
  if (prefix === "" && trimmed.slice(0, 5).toLowerCase() === "data:") {
    return failure("bad-request", "A data URL has to be base64.");
  }
  const body = prefix === "" ? trimmed : trimmed.slice(prefix.length);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    // A URL may percent-encode any of its characters: `encodeURIComponent` does so with three of base64's.
    const letters = prefix !== "" && body.includes("%") ? decodeURIComponent(body) : body;
    bytes = fromBase64(/[-_]/.test(letters) ? letters.replaceAll("-", "+").replaceAll("_", "/") : letters);
  } catch {
    return failure("bad-request", "The picture is not base64.");
  }
  if (bytes.length === 0) return failure("empty-body", "The picture is empty.");
  return bytes.length > MAX_IMAGE_BYTES ? imageTooLarge() : success(bytes);
}

/** The failure of a picture past the limit, in whatever form it was sent. */
export function imageTooLarge(): Result<never> {
  return failure("image-too-large", `At most ${MAX_IMAGE_BYTES / 1024 / 1024} MiB are accepted.`);
}

/** `atob` is in both runtimes, strict about letters and lenient about white space. @throws if it is not base64 */
function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  // `fromBase64` is not yet in every Node that runs this.
  const { fromBase64: native } = Uint8Array as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> };
  if (native !== undefined) return native.call(Uint8Array, withoutPadding(text));
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/**
 * Removes the padding without a regular expression, which would start again at each sign and take minutes of CPU time for a
 * megabyte of them.
 */
function withoutPadding(text: string): string {
  let end = text.trimEnd().length;
  while (text[end - 1] === "=") end -= 1;
  return text.slice(0, end);
}
