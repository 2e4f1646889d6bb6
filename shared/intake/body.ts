/** What a request says about its body, and how JSON is read: the rules that edge and backend share. No I/O. */

import { failure, type Result, success } from "../result.ts";

interface Message {
  readonly headers: Headers;
}

/** Media type of a message, without its parameters, in lower case. */
export function mediaType({ headers }: Message): string {
  return (headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** `application/json`, `text/json` and every `+json` (RFC 6839). */
export function isJsonType(type: string): boolean {
  return type === "application/json" || type === "text/json" || type.endsWith("+json");
}

/** Refuses a body with a content coding, by the coding's name, because its hash would be of other bytes. RFC 9110, section 8.4. */
export function requireUncoded({ headers }: Message): Result<undefined> {
  const coding = (headers.get("content-encoding") ?? "").trim().toLowerCase();
  if (coding === "" || coding === "identity") return success(undefined);
  return failure(
    "unsupported-encoding",
    `Content-Encoding ${JSON.stringify(coding.slice(0, 40))} is not supported. Send the body without it.`,
  );
}

/** JSON of `bytes`, without the null fields at its top level: they mean "not given". Fails with `empty-body` or `bad-request`. */
export function parseJsonBody(bytes: Uint8Array): Result<unknown> {
  if (bytes.length === 0) return failure("empty-body", "Send a JSON object.");
  try {
    return success(
      withoutNulls(JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes))),
    );
  } catch {
    return failure("bad-request", "The body is not JSON in UTF-8.");
  }
}

/** `value` without null fields, if it is an object; deeper fields stay. */
export function withoutNulls(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
}

/** Whether bytes that are not a picture begin like a JSON object. */
export function beginsLikeJson(bytes: Uint8Array): boolean {
  return /^(\xef\xbb\xbf)?\s*\{/.test(String.fromCharCode(...bytes.subarray(0, 64)));
}
