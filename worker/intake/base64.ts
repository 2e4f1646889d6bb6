/** Base64 (RFC 4648, section 4) and base64 data URLs (RFC 2397). */

import { FailureError } from "../../shared/problem.ts";

const DATA_URL = /^data:[^,]{0,200};base64,/i;

/** @throws {FailureError} `bad-request` where the text is no base64, `image-too-large` past `maxBytes`. */
export function decodeBase64(text: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  if (text.length > Math.ceil(maxBytes / 3) * 4 + 256) throw tooLarge(maxBytes);
  const prefix = DATA_URL.exec(text)?.[0] ?? "";
  if (prefix === "" && text.slice(0, 5).toLowerCase() === "data:") {
    throw new FailureError({ code: "bad-request", detail: "A data URL has to be base64." });
  }
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(prefix === "" ? text : text.slice(prefix.length));
  } catch {
    throw new FailureError({ code: "bad-request", detail: "The picture is not base64." });
  }
  if (bytes.length > maxBytes) throw tooLarge(maxBytes);
  return bytes;
}

function tooLarge(maxBytes: number): FailureError {
  return new FailureError({
    code: "image-too-large",
    detail: `At most ${Math.floor(maxBytes / 1024 / 1024)} MiB are accepted.`,
  });
}
