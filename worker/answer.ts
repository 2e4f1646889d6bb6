/** Turns what the captioner answered into the HTTP answers of the public API. */

import { toCaption } from "../shared/caption.ts";
import { FailureError } from "../shared/problem.ts";
import type { Result } from "../shared/result.ts";
import type { ReviewRule } from "../shared/review.ts";
import type { CaptionOptions, GeneratedCaption } from "../shared/schema.ts";
import type { CaptionAnswer, Provenance } from "./caching-captioner.ts";
import { type RequestScope, takeHeaders } from "./request/scope.ts";

/**
 * For answers that come line by line over a while. Without this header nginx, and proxies that adopted it, keep the lines
 * until a buffer is full. https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
 */
export const NOT_BUFFERED = { "x-accel-buffering": "no" } as const;

export interface AnswerParts {
  readonly sha256: string;
  readonly options: CaptionOptions;
  readonly outcome: Result<CaptionAnswer>;
  readonly scope: RequestScope;
}

/** 200 with a `Caption`. @throws {FailureError} if there is none */
export function captionResponse({ sha256, options, outcome, scope }: AnswerParts): Response {
  if (!outcome.ok) throw new FailureError(outcome.failure);
  const { generated, provenance, review } = outcome.value;
  scope.log.tier = provenance.kind === "hit" ? provenance.tier : "none";
  const { body, etag } = render({
    sha256,
    generated,
    provenance,
    maxLength: options.max_length,
    review,
  });
  return new Response(body, {
    headers: {
      "content-type": "application/json",
      "cache-status": cacheStatus(provenance),
      etag,
      // The client may keep the answer, but has to ask each time whether the model is still the same.
      "cache-control": "private, no-cache",
      ...takeHeaders(scope),
    },
  });
}

interface Rendered {
  readonly body: string;
  readonly etag: string;
  readonly review: ReviewRule | undefined;
}

/** Answers of hits without options. The memory tier hands out one object per picture, so shaping is done once. */
const renderedHits = new WeakMap<GeneratedCaption, Rendered>();

function render(parts: {
  readonly sha256: string;
  readonly generated: GeneratedCaption;
  readonly provenance: Provenance;
  readonly maxLength: number | undefined;
  readonly review: ReviewRule | undefined;
}): Rendered {
  const { sha256, generated, provenance, maxLength, review } = parts;
  const cached = provenance.kind === "hit";
  const isPlainHit = cached && maxLength === undefined;
  const known = isPlainHit ? renderedHits.get(generated) : undefined;
  // The model may have been calibrated since.
  if (known !== undefined && known.review === review) return known;
  const body = JSON.stringify(toCaption({ sha256, generated, cached, maxLength, review }));
  const rendered = { body, etag: entityTag(body), review };
  if (isPlainHit) renderedHits.set(generated, rendered);
  return rendered;
}

/** 304 if the client already has this very answer, RFC 9110 section 13.1.2. */
export function revalidated(request: Request, response: Response): Response {
  const condition = request.headers.get("if-none-match");
  if (condition === null) return response;
  const tag = response.headers.get("etag");
  if (tag === null) return response;
  const tags = condition.split(",").map((candidate) => candidate.trim().replace(/^W\//, ""));
  if (!tags.includes(tag) && !tags.includes("*")) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-type");
  return new Response(null, { status: 304, headers });
}

/** `Cache-Status`, RFC 9211: names the tier that answered, or says that the farthest one missed and what became of the answer. */
export function cacheStatus(provenance: Provenance): string {
  if (provenance.kind === "hit") return `${provenance.tier}; hit`;
  const { missed, stored, collapsed } = provenance;
  const forwarded = missed === undefined ? "worker; fwd=bypass" : `${missed}; fwd=miss`;
  return `${forwarded}${stored ? "; stored" : ""}${collapsed ? "; collapsed" : ""}`;
}

/** Strong tag: FNV-1a over the body, twice, 64 bits in all. It protects no secret. */
function entityTag(body: string): string {
  let low = 0x811c9dc5;
  let high = 0xc9dc5118;
  for (let index = 0; index < body.length; index++) {
    const unit = body.charCodeAt(index);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x85ebca6b);
  }
  return `"${(low >>> 0).toString(36)}${(high >>> 0).toString(36)}"`;
}
