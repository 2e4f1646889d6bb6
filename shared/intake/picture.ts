/** Tells from a picture's first bytes whether we decode its format, so that a refusal can name what arrived. */

import { ACCEPTED_FORMATS, type PictureFormat, recognizePicture } from "../picture-format.ts";
import { failure, type Result, success } from "../result.ts";
import { beginsLikeJson } from "./body.ts";

/**
 * The format of `bytes` if it is one that is captioned.
 * Fails with `empty-body`, `unsupported-image` (a format known by name, but not decoded) or `not-an-image`.
 */
export function pictureFormat(bytes: Uint8Array): Result<PictureFormat> {
  if (bytes.length === 0) return failure("empty-body", "Send the bytes of one picture as the body.");
  const format = recognizePicture(bytes);
  const accepted = `Accepted: ${ACCEPTED_FORMATS}.`;
  if (format === undefined) {
    const hint = beginsLikeJson(bytes)
      ? " They look like JSON: if they are, set content-type: application/json."
      : "";
    return failure("not-an-image", `The bytes are not a picture of a known format. ${accepted}${hint}`);
  }
  return "supported" in format
    ? success(format.supported)
    : failure("unsupported-image", `${format.refused} is not supported. ${accepted}`);
}
