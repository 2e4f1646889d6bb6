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
import { type Caption, type CaptionOptions, HeaderSecret } from "../shared/schema.ts";
import { UsageError } from "./command-line.ts";
import { useProxyOfEnvironment } from "./proxy.ts";

/** A running API, and when a command that captions many pictures gives up on it. */
export interface Api {
  readonly client: CaptionClient;
  /**
   * Why no other picture would be captioned either, in words for the user; undefined if one might be. Ask once for each
   * picture that failed, because failures are counted: a service at capacity, or without a captioner, may just have met a
   * picture that takes too long, so it is given up at the second such failure with no new caption in between.
   */
  whyNoOther(error: unknown): string | undefined;
}

/** After this many failures in a row, of the service and not of the picture, the service is given up. */
const MAX_FAILURES = 2;

/**
 * The API at `url`, with the key that was given or that of CAPTION_API_KEY, through the environment's proxy.
 * @throws {UsageError} if no header can carry the key
 */
export function openApi(url: string, key: string | undefined): Api {
  useProxyOfEnvironment();
  const apiKey = key ?? process.env.CAPTION_API_KEY;
  // Checked here, because `fetch`'s error for such a key would show the key.
  if (apiKey !== undefined && !HeaderSecret.safeParse(apiKey).success) {
    const name = key === undefined ? "CAPTION_API_KEY" : "--key";
    throw new UsageError(`${name}: expected one line of ASCII characters, because it is sent in a header`);
  }
  const client = createCaptionClient({ baseUrl: url, ...(apiKey === undefined ? {} : { apiKey }) });
  let failures = 0;
  const counted = new WeakSet<Error>();
  const noted = async (captioned: Promise<Caption>) => {
    const caption = await captioned;
    // A cached caption says nothing about the captioners.
    if (!caption.cached) failures = 0;
    return caption;
  };
  return {
    client: {
      ...client,
      caption: (picture, call) => noted(client.caption(picture, call)),
      captionUrl: (address, call) => noted(client.captionUrl(address, call)),
    },
    whyNoOther(error) {
      if (error instanceof CaptionTransportError)
        return error.status === undefined ? withReason(error) : undefined;
      if (!(error instanceof CaptionApiError)) return undefined;
      const { code, title } = error.problem;
      if (code === "unauthorized") return `${title}: give it as --key, or in CAPTION_API_KEY.`;
      if (code === "forbidden" || code === "quota-exceeded") return error.message;
      // The client has already waited and retried.
      const mayPass = Object.hasOwn(PROBLEMS, code) && PROBLEMS[code as ProblemCode].passesWith === "time";
      // A picture that stands on several pages counts as one failure.
      if (!mayPass || counted.has(error)) return undefined;
      counted.add(error);
      failures += 1;
      return failures >= MAX_FAILURES ? error.message : undefined;
    },
  };
}

/** An error's sentence, and the network's reason: an unknown name, a certificate, or a proxy that lets nothing through. */
function withReason(error: Error): string {
  let reason = error.cause;
  while (reason instanceof Error && reason.cause instanceof Error) reason = reason.cause;
  if (!(reason instanceof Error)) return error.message;
  // If several addresses were tried, the error has no message of its own.
  const said = reason.message || ("code" in reason ? String(reason.code) : reason.name);
  return `${error.message} (${said.trim()})`;
}

/** The API's answer for a picture, made in this process. */
export async function captionLocally(
  captioner: Captioner,
  bytes: Uint8Array<ArrayBuffer>,
  { max_length: maxLength, ...generation }: CaptionOptions = {},
): Promise<Result<Caption>> {
  const result = await captioner.caption(bytes, generation);
  if (!result.ok) return result;
  // All other fields belong to the caption.
  const { source: _source, timings: _timings, ...said } = result.value;
  const { id, revision, review } = captioner.model;
  const generated = { ...said, model: { id, revision } };
  const sha256 = await contentHash(bytes);
  return success(toCaption({ sha256, generated, cached: false, maxLength, review: review ?? undefined }));
}
