/** What commands caption with: a running API, or a captioner in this process that answers as the API does. */

import type { Captioner } from "../backend/captioner/captioner.ts";
import {
  CaptionApiError,
  type CaptionClient,
  CaptionTransportError,
  createCaptionClient,
} from "../client/index.ts";
import { toCaption } from "../shared/caption.ts";
import { contentHash } from "../shared/content-hash.ts";
import { PROBLEMS, type ProblemCode } from "../shared/problem.ts";
import { type Result, success } from "../shared/result.ts";
import type { Caption, CaptionOptions } from "../shared/schema.ts";
import { useProxyOfEnvironment } from "./proxy.ts";

/** A client of the API at `url`, with the key that was given or that of CAPTION_API_KEY, and the environment's proxy. */
export function apiClient(url: string, key: string | undefined): CaptionClient {
  useProxyOfEnvironment();
  const apiKey = key ?? process.env.CAPTION_API_KEY;
  return createCaptionClient({ baseUrl: url, ...(apiKey === undefined ? {} : { apiKey }) });
}

/** In words for whoever runs a command: why the API would caption no other picture either; undefined where it might. */
export function whyNoOther(error: unknown): string | undefined {
  if (error instanceof CaptionTransportError) return error.status === undefined ? error.message : undefined;
  if (!(error instanceof CaptionApiError)) return undefined;
  const { code, title } = error.problem;
  if (code === "unauthorized") return `${title}: give it as --key, or in CAPTION_API_KEY.`;
  // The client has waited and asked again, as often as it does.
  const isOfTheService = Object.hasOwn(PROBLEMS, code) && PROBLEMS[code as ProblemCode].passesWith === "time";
  return code === "forbidden" || isOfTheService ? error.message : undefined;
}

/** The API's answer for a picture, made in this process. */
export async function captionLocally(
  captioner: Captioner,
  bytes: Uint8Array<ArrayBuffer>,
  { max_length: maxLength, ...generation }: CaptionOptions = {},
): Promise<Result<Caption>> {
  const result = await captioner.caption(bytes, generation);
  if (!result.ok) return result;
  // Whatever else is said of the caption belongs to it.
  const { source: _source, timings: _timings, ...said } = result.value;
  const { id, revision, review } = captioner.model;
  const generated = { ...said, model: { id, revision } };
  const sha256 = await contentHash(bytes);
  return success(toCaption({ sha256, generated, cached: false, maxLength, review: review ?? undefined }));
}
