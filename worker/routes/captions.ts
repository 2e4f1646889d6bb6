/** `POST /v1/captions` and `GET /v1/captions/{sha256}`. */

import type { Handler } from "hono";
import { SHA256_HEX } from "../../shared/content-hash.ts";
import { FailureError } from "../../shared/problem.ts";
import { captionResponse, revalidated } from "../answer.ts";
import type { CachingCaptioner } from "../caching-captioner.ts";
import { generationOptions, parseOptions } from "../intake/options.ts";
import { type FetchPicture, readPictureRequest } from "../intake/picture-request.ts";
import type { AppEnv } from "../request/context.ts";
import { timed } from "../request/scope.ts";

/** Where these are: for the router, and as the OpenAPI document writes it. */
export const CAPTIONS_PATH = { route: "/v1/captions", document: "/v1/captions" } as const;
export const CAPTION_PATH = { route: "/v1/captions/:sha256", document: "/v1/captions/{sha256}" } as const;

/** Captions a picture, or finds that it was captioned before. */
export function postCaption(parts: {
  readonly captioner: CachingCaptioner;
  readonly fetchPicture: FetchPicture;
}): Handler<AppEnv> {
  return async (context) => {
    const { scope, beforeGenerating } = context.var;
    const { sha256, picture, options } = await timed(scope, "intake", () =>
      readPictureRequest(context.req.raw, context.req.query(), parts.fetchPicture),
    );
    scope.log.bytes = picture.bytes.length;
    const outcome = await parts.captioner.caption({
      sha256,
      picture,
      options: generationOptions(options),
      scope,
      ...(beforeGenerating ? { beforeGenerating } : {}),
    });
    return captionResponse({ sha256, options, outcome, scope });
  };
}

/** The caption of a picture that was captioned before: the cheap way for a client that hashes first. */
export function getCaption(parts: {
  readonly captioner: CachingCaptioner;
}): Handler<AppEnv, typeof CAPTION_PATH.route> {
  return async (context) => {
    const { scope } = context.var;
    const sha256 = context.req.param("sha256");
    if (!SHA256_HEX.test(sha256)) {
      throw new FailureError({
        code: "bad-request",
        detail: "Expected a SHA-256 as 64 lower-case hexadecimal digits.",
      });
    }
    const options = parseOptions(context.req.query());
    const outcome = await parts.captioner.lookUp({ sha256, options: generationOptions(options), scope });
    if (outcome === undefined) {
      throw new FailureError({ code: "not-captioned", detail: "Send its bytes to POST /v1/captions." });
    }
    return revalidated(context.req.raw, captionResponse({ sha256, options, outcome, scope }));
  };
}
