/** What a caller can do about each problem: the table of errors on the API's page. */

import { ACCEPTED_FORMATS } from "../../shared/picture-format.ts";
import type { ProblemCode } from "../../shared/problem.ts";

export const ADVICE: Readonly<Record<ProblemCode, string>> = {
  "empty-body": "Send the picture's bytes as the body, or its address.",
  "bad-request": "Correct what `detail` names; the same request would fail again.",
  "bad-options": "Correct the option that `detail` names.",
  "unsupported-language": "Leave `language` out, or ask for English.",
  unauthorized: "Send a valid key as `Authorization: Bearer ate_…`.",
  forbidden: "Use a key that has the scope which `detail` names.",
  "url-refused": "Give a public web address, or send the picture's bytes.",
  "not-found": "Look at the address; this page lists what there is.",
  "model-not-found": "Ask for the model that `detail` names.",
  "job-not-found":
    "Use the id from the answer that made the job, with the same key, within seven days of its end.",
  "not-captioned": "Send the picture's bytes.",
  "method-not-allowed": "Use a method that the header `Allow` names.",
  "upload-timeout": "Send it again over a faster connection, or a smaller file.",
  "request-in-progress": "Ask again after `Retry-After`: the first one is still being received.",
  "too-many-items": "Send several jobs.",
  "image-too-large": "Make the file smaller, or send fewer items: `detail` gives the limit.",
  "too-many-pixels": "Make the picture smaller.",
  "unsupported-encoding": "Send the body as it is, without `Content-Encoding`.",
  "unsupported-image": "Save it as JPEG, PNG or WebP.",
  "not-an-image": `Send a picture: ${ACCEPTED_FORMATS}.`,
  "unreadable-image": "Save the picture anew; the file is damaged.",
  "too-costly": "Save the picture anew, plainly and smaller.",
  "decode-timeout": "Save the picture anew, plainly and smaller.",
  "idempotency-key-reused": "Use a new key for a new job.",
  "url-unreachable": "Make sure that the address answers with a picture, or send its bytes.",
  "rate-limited": "Ask again after `Retry-After`.",
  "quota-exceeded": "Ask again after `Retry-After`; captions that were made are still served.",
  overloaded: "Ask again after `Retry-After`.",
  internal: "Try again; if it persists, tell the operator the `X-Request-Id`.",
  "backend-error": "Try again; if it persists, tell the operator the `X-Request-Id`.",
  unavailable: "Ask again after `Retry-After`; captions that were made are still served.",
  "shutting-down": "Ask again after `Retry-After`.",
  "deadline-exceeded": "Try again, with fewer beams or a smaller picture.",
};
