/** Tells what the bytes are from their first ones; what the client calls them is not asked. */

import { recognizePicture, SUPPORTED_FORMATS } from "../../shared/picture-format.ts";
import { FailureError } from "../../shared/problem.ts";

const ACCEPTED = `Accepted: ${Object.keys(SUPPORTED_FORMATS).join(", ")}.`;

/**
 * The media type of a picture that can be captioned.
 * @throws {FailureError} `empty-body`, `unsupported-image` or `not-an-image`.
 */
export function sniffImage(bytes: Uint8Array): string {
  if (bytes.length === 0)
    throw new FailureError({ code: "empty-body", detail: "Send the bytes of one picture." });
  const format = recognizePicture(bytes);
  if (format === undefined) {
    throw new FailureError({
      code: "not-an-image",
      detail: `The bytes are no picture that is known here. ${ACCEPTED}`,
    });
  }
  if ("supported" in format) return SUPPORTED_FORMATS[format.supported];
  throw new FailureError({
    code: "unsupported-image",
    detail: `${format.refused} is not supported. ${ACCEPTED}`,
  });
}
