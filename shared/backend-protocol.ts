/**
 * What worker and backend say to each other besides the Hugging Face protocol: headers for what its answer
 * `[{ "generated_text" }]` has no field for.
 */

/** Answer: model id, by `encodeModelId`. */
export const MODEL_ID_HEADER = "x-model-id";
/** Answer: model revision, part of the worker's cache key. */
export const MODEL_REVISION_HEADER = "x-model-revision";
/** Answer: geometric mean of the token probabilities, 0..1. */
export const CAPTION_SCORE_HEADER = "x-caption-score";
/** Answer: how well such a picture can be described, by the model's picture head; absent if the model has none. */
export const PICTURE_SCORE_HEADER = "x-picture-score";
/** Answer: `generated`, or `joined` or `recent` if the model did not run for this request. */
export const CAPTION_SOURCE_HEADER = "x-caption-source";
/** Request: whom the caption is for; requests for different owners share nothing. */
export const CAPTION_OWNER_HEADER = "x-caption-owner";
/** Request: `background` if nobody waits for the caption right now; requests that somebody waits for go first. */
export const CAPTION_PRIORITY_HEADER = "x-caption-priority";
/** Request: milliseconds the caller will still wait; work past it is dropped before it costs a forward pass. */
export const DEADLINE_MS_HEADER = "x-deadline-ms";
/** Request and answer: one id through all logs. */
export const REQUEST_ID_HEADER = "x-request-id";

/** A model's id as a header holds it: a folder may have any name, but a header takes only ASCII. RFC 3986, section 2.1. */
export function encodeModelId(id: string): string {
  return encodeURI(id.toWellFormed());
}

/** The id that a header holds; an id that was not encoded stands for itself. */
export function decodeModelId(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
