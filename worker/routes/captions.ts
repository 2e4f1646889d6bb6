/** `POST /v1/captions`, and `GET` and `DELETE /v1/captions/{sha256}`. */

import type { Handler, HonoRequest } from "hono";
import { SHA256_HEX } from "../../shared/content-hash.ts";
import { FailureError } from "../../shared/problem.ts";
import { captionResponse, revalidated } from "../answer.ts";
import type { CachingCaptioner } from "../caching-captioner.ts";
import { generationOptions, parseOptions, queryOf } from "../intake/options.ts";
import { type IntakeParts, readPictureRequest } from "../intake/picture-request.ts";
import type { AppEnv } from "../request/context.ts";
import { timed, withDeadline } from "../request/scope.ts";
import { BATCH_PATH } from "./batch.ts";

/** The paths, as the router and as the OpenAPI document write them. */
export const CAPTIONS_PATH = { route: "/v1/captions", document: "/v1/captions" } as const;
export const CAPTION_PATH = { route: "/v1/captions/:sha256", document: "/v1/captions/{sha256}" } as const;

const RETRY_AFTER_SECONDS = 5;

/** Captions a picture, or finds that it was captioned before. */
export function postCaption(
  parts: IntakeParts & {
    readonly captioner: CachingCaptioner;
    /** The longest that a new caption may take after the picture has arrived. */
    readonly captionTimeoutMs: number;
  },
): Handler<AppEnv> {
  return async (context) => {
    const { scope, caller } = context.var;
    const { sha256, picture, options } = await timed(scope, "intake", () =>
      readPictureRequest(context.req.raw, queryOf(context.req.raw), {
        uploadTimeoutMs: parts.uploadTimeoutMs,
        async fetchPicture(url) {
          await caller.requireQuota();
          return parts.fetchPicture(url);
        },
      }),
    );
    scope.log.bytes = picture.bytes.length;
    const outcome = await parts.captioner.caption({
      sha256,
      picture,
      options: generationOptions(options),
      caller,
      scope: withDeadline(scope, parts.captionTimeoutMs),
    });
    return captionResponse({ sha256, options, outcome, scope });
  };
}

/** The caption of a picture that was captioned before: the cheap way for a client that hashes first. */
export function getCaption(parts: {
  readonly captioner: CachingCaptioner;
}): Handler<AppEnv, typeof CAPTION_PATH.route> {
  return async (context) => {
    const { scope, caller } = context.var;
    const sha256 = hashInPath(context.req);
    if (sha256 === undefined) return context.notFound();
    const options = parseOptions(queryOf(context.req.raw));
    const outcome = await parts.captioner.lookUp({
      sha256,
      options: generationOptions(options),
      caller,
      scope,
    });
    if (outcome === undefined) {
      throw new FailureError({ code: "not-captioned", detail: "Send its bytes to POST /v1/captions." });
    }
    return revalidated(context.req.raw, captionResponse({ sha256, options, outcome, scope }));
  };
}

/** Has every caption of a picture forgotten, whatever its options and model. Deleting twice does no harm. */
export function deleteCaption(parts: {
  readonly captioner: CachingCaptioner;
}): Handler<AppEnv, typeof CAPTION_PATH.route> {
  return async (context) => {
    const { scope, caller } = context.var;
    const sha256 = hashInPath(context.req);
    if (sha256 === undefined) return context.notFound();
    const options = generationOptions(parseOptions(queryOf(context.req.raw)));
    if (await parts.captioner.forget({ sha256, options, caller, scope })) {
      return new Response(null, { status: 204 });
    }
    throw new FailureError({
      code: "unavailable",
      detail: "The cache could not be reached; the caption may still be there.",
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  };
}

/**
 * The hash that a path names; undefined for the batch's path, which the router matches too.
 * @throws {FailureError} `bad-request` if it is not a hash
 */
function hashInPath(req: HonoRequest<typeof CAPTION_PATH.route>): string | undefined {
  if (req.path === BATCH_PATH.route) return undefined;
  const sha256 = req.param("sha256");
  if (SHA256_HEX.test(sha256)) return sha256;
  throw new FailureError({
    code: "bad-request",
    detail: "Expected a SHA-256 as 64 lower-case hexadecimal digits.",
  });
}
