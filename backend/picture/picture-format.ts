/** Says of a picture's first bytes whether its format is one we decode, so that a refusal can name what arrived. */

import { type PictureFormat, recognizePicture, SUPPORTED_FORMATS } from "../../shared/picture-format.ts";
import { failure, type Result, success } from "../../shared/result.ts";

/**
 * The format of `bytes` if it is one we decode.
 * Fails with `empty-body`, `unsupported-image` (a format known by name, but not decoded here) or `not-an-image`.
 */
export function pictureFormat(bytes: Uint8Array): Result<PictureFormat> {
  if (bytes.length === 0) return failure("empty-body", "Send the bytes of a picture as the body.");
  const format = recognizePicture(bytes);
  const accepted = Object.keys(SUPPORTED_FORMATS).join(", ");
  if (format === undefined) {
    return failure("not-an-image", `The bytes are no picture that is known here. Accepted: ${accepted}.`);
  }
  return "supported" in format
    ? success(format.supported)
    : failure("unsupported-image", `${format.refused} is not supported. Accepted: ${accepted}.`);
}
