/** `POST /models/{id}`: Hugging Face's image-to-text protocol, so that its stock clients work unchanged. */

import type { Context, Handler, MiddlewareHandler } from "hono";
import { contentHash } from "../../shared/content-hash.ts";
import { isJsonType, mediaType, requireUncoded } from "../../shared/intake/body.ts";
import { parseImageToText, wantsObject } from "../../shared/intake/image-to-text.ts";
import { MAX_IMAGE_BYTES, MAX_JSON_BYTES } from "../../shared/limits.ts";
import { FailureError, PROBLEM_CONTENT_TYPE, Problem } from "../../shared/problem.ts";
import type { CaptionOptions } from "../../shared/schema.ts";
import { cacheStatus } from "../answer.ts";
import type { CurrentModel } from "../backends/current-model.ts";
import type { CachingCaptioner } from "../caching-captioner.ts";
import { readBounded, readHashed } from "../intake/body.ts";
import { generationOptions, orThrow, parseOptions, queryOf } from "../intake/options.ts";
import { type IdentifiedPicture, toPicture } from "../intake/picture-request.ts";
import type { AppEnv } from "../request/context.ts";
import { type RequestScope, timed, withDeadline } from "../request/scope.ts";

/** The path, as the router and as the OpenAPI document write it. */
export const MODEL_PATH = { route: "/models/:id{.+}", document: "/models/{id}" } as const;

const RETRY_AFTER_SECONDS = 5;

/** Adds to each problem, whatever refused the request, the field `error` that Python's client shows to its user. */
export const withErrorField: MiddlewareHandler = async (context, next) => {
  await next();
  const { headers, status } = context.res;
  if (headers.get("content-type") !== PROBLEM_CONTENT_TYPE) return;
  const problem = Problem.parse(await context.res.json());
  context.res = new Response(JSON.stringify({ ...problem, error: problem.detail }), { status, headers });
};

/** Captions for Hugging Face clients. */
export function postImageToText(parts: {
  readonly captioner: CachingCaptioner;
  readonly currentModel: CurrentModel;
  readonly aliases: readonly string[];
  /** The longest the request's body may take to arrive. */
  readonly uploadTimeoutMs: number;
  /** The longest that a new caption may take after the picture has arrived. */
  readonly captionTimeoutMs: number;
}): Handler<AppEnv, typeof MODEL_PATH.route> {
  const { captioner, currentModel, aliases, uploadTimeoutMs, captionTimeoutMs } = parts;
  return async (context) => {
    const { scope, caller } = context.var;
    await requireModel(context.req.param("id"), { currentModel, aliases, scope });
    const { sha256, picture, options } = await timed(scope, "intake", () =>
      readRequest(context, uploadTimeoutMs),
    );
    scope.log.bytes = picture.bytes.length;
    const outcome = await captioner.caption({
      sha256,
      picture,
      options: generationOptions(options),
      caller,
      scope: withDeadline(scope, captionTimeoutMs),
    });
    if (!outcome.ok) throw new FailureError(outcome.failure);
    const { generated, provenance } = outcome.value;
    scope.log.tier = provenance.kind === "hit" ? provenance.tier : "none";
    const output = { generated_text: generated.caption };
    return Response.json(readsOnlyObjects(context.req.raw.headers) ? output : [output], {
      headers: { "cache-status": cacheStatus(provenance), vary: "user-agent" },
    });
  };
}

/** Includes browsers, and whatever sends a browser's headers, because their pages may run the stock client without naming it. */
function readsOnlyObjects(headers: Headers): boolean {
  return headers.has("sec-fetch-mode") || wantsObject(headers);
}

async function requireModel(
  id: string,
  known: { currentModel: CurrentModel; aliases: readonly string[]; scope: RequestScope },
): Promise<void> {
  if (known.aliases.includes(id)) return;
  const model = await known.currentModel.get(known.scope);
  if (model?.id === id) return;
  if (model === undefined) {
    throw new FailureError({
      code: "unavailable",
      detail: "No captioner has said yet which model it serves.",
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
  throw new FailureError({ code: "model-not-found", detail: `The model served here is ${model.id}.` });
}

async function readRequest(
  context: Context<AppEnv>,
  timeoutMs: number,
): Promise<IdentifiedPicture & { readonly options: CaptionOptions }> {
  const { raw } = context.req;
  const query = parseOptions(queryOf(raw));
  orThrow(requireUncoded(raw));
  if (!isJsonType(mediaType(raw))) {
    return { ...toPicture(await readHashed(raw, { maxBytes: MAX_IMAGE_BYTES, timeoutMs })), options: query };
  }
  const body = await readBounded(raw, { maxBytes: MAX_JSON_BYTES, timeoutMs });
  const { bytes, options } = orThrow(parseImageToText(body));
  return { ...toPicture({ bytes, sha256: await contentHash(bytes) }), options: { ...query, ...options } };
}
