/**
 * Hugging Face's image-to-text request and answer, as edge and backend both speak them.
 * https://huggingface.co/docs/inference-providers/tasks/image-to-text
 */

import { MAX_IMAGE_BYTES } from "../limits.ts";
import { recognizePicture } from "../picture-format.ts";
import { type Result, success } from "../result.ts";
import { type GenerationOptions, ImageToTextRequest } from "../schema.ts";
import { decodeBase64, imageTooLarge } from "./base64.ts";
import { parseJsonBody, withoutNulls } from "./body.ts";
import { parseWith } from "./options.ts";

export interface ImageToText {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Options of the body; they override those of the query. */
  readonly options: GenerationOptions;
}

/**
 * The picture and the options of a body that is called JSON. It may be a picture all the same, because some generated
 * clients call everything they send JSON. If an option stands in several of its three places, the most direct one counts.
 * Fails with `empty-body`, `bad-request`, `bad-options` or `image-too-large`.
 */
export function parseImageToText(body: Uint8Array<ArrayBuffer>): Result<ImageToText> {
  if (recognizePicture(body) !== undefined) {
    return body.length > MAX_IMAGE_BYTES ? imageTooLarge() : success({ bytes: body, options: {} });
  }
  const json = parseJsonBody(body);
  if (!json.ok) return json;
  const request = parseWith(ImageToTextRequest, withoutNullParameters(json.value), "bad-request");
  if (!request.ok) return request;
  const { inputs, parameters: { generate_kwargs, generation_parameters, ...direct } = {} } = request.value;
  const bytes = decodeBase64(inputs);
  return bytes.ok
    ? success({ bytes: bytes.value, options: { ...generation_parameters, ...generate_kwargs, ...direct } })
    : bytes;
}

function withoutNullParameters(json: unknown): unknown {
  if (typeof json !== "object" || json === null || !("parameters" in json)) return json;
  const parameters = withoutNulls(json.parameters);
  if (typeof parameters !== "object" || parameters === null) return json;
  const cleaned = Object.entries(parameters).map(([name, value]) => [name, withoutNulls(value)]);
  return { ...json, parameters: Object.fromEntries(cleaned) };
}

/**
 * Whether the client names itself as one that reads only a bare object, as `@huggingface/inference` does. Everything else
 * (Python's `huggingface_hub`, hosted endpoints, curl) expects or sends an array. In browsers that client cannot name
 * itself, so every browser counts as one.
 */
export function wantsObject(headers: Headers): boolean {
  return /@huggingface\/inference|^Mozilla\//.test(headers.get("user-agent") ?? "");
}
