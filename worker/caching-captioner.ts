/**
 * The way of a picture: cache, else one captioner, then the cache again. Identical pictures in flight share one answer.
 * No HTTP here, and no picture is fetched before the cache has missed.
 */

import { PROBLEMS } from "../shared/problem.ts";
import { failed, type Result, success } from "../shared/result.ts";
import type { GeneratedCaption, GenerationOptions } from "../shared/schema.ts";
import {
  type CurrentModel,
  type KnownModel,
  reviewBelow,
  withoutDefaults,
} from "./backends/current-model.ts";
import type { BackendPool } from "./backends/pool.ts";
import type { CacheHit, CaptionCache } from "./cache/caption-cache.ts";
import { captionKey } from "./cache/key.ts";
import type { CacheTierName } from "./cache/tier-names.ts";
import type { Picture } from "./picture.ts";
import { type RequestScope, timed } from "./request/scope.ts";
import { TIMED_OUT, within } from "./request/within.ts";

/** How an answer came to be; `Cache-Status` says it to the client. */
export type Provenance =
  | { readonly kind: "hit"; readonly tier: CacheTierName }
  | { readonly kind: "generated"; readonly stored: boolean; readonly collapsed: boolean };

export interface CaptionAnswer {
  readonly generated: GeneratedCaption;
  readonly provenance: Provenance;
  /** The threshold of the model that said it, where it is known. */
  readonly reviewBelow: number | undefined;
}

export interface LookupRequest {
  readonly sha256: string;
  readonly options: GenerationOptions;
  readonly scope: RequestScope;
}

export interface CaptionRequest extends LookupRequest {
  readonly picture: Picture;
  /** Asked once the cache has missed, before the captioner costs anything; throws to refuse. */
  readonly beforeGenerating?: () => Promise<void>;
}

export interface CachingCaptioner {
  /** From the cache alone. */
  lookUp(request: LookupRequest): Promise<Result<CaptionAnswer> | undefined>;
  /** Brings many pictures' captions near in one read, for a batch. */
  warm(
    requests: { readonly sha256s: readonly string[]; readonly options: GenerationOptions },
    scope: RequestScope,
  ): Promise<void>;
  /** From the cache, else from a captioner. */
  caption(request: CaptionRequest): Promise<Result<CaptionAnswer>>;
}

interface Generated {
  readonly generated: GeneratedCaption;
  readonly stored: boolean;
}

/** A run that others may join. */
interface Run {
  readonly outcome: Promise<Result<Generated>>;
  /** Epoch milliseconds after which it is not waited for. */
  readonly deadline: number;
}

export function createCachingCaptioner(parts: {
  readonly cache: CaptionCache;
  readonly pool: BackendPool;
  readonly currentModel: CurrentModel;
}): CachingCaptioner {
  const { cache, pool, currentModel } = parts;
  const inFlight = new Map<string, Run>();

  async function find(request: LookupRequest, model: KnownModel | undefined): Promise<CacheHit | undefined> {
    if (model === undefined) return undefined;
    const options = withoutDefaults(request.options, model);
    const key = await captionKey({ revision: model.revision, options, sha256: request.sha256 });
    return cache.find(key, request.scope);
  }

  async function generate(
    request: CaptionRequest,
    model: KnownModel | undefined,
  ): Promise<Result<Generated>> {
    const { sha256, picture, options, scope } = request;
    const outcome = await timed(scope, "captioner", () => pool.caption({ sha256, picture, options, scope }));
    if (!outcome.ok) {
      if (PROBLEMS[outcome.failure.code].follows === "bytes" && model !== undefined) {
        const key = await captionKey({ revision: model.revision, options, sha256 });
        cache.store(key, { kind: "failure", failure: outcome.failure }, scope);
      }
      return outcome;
    }
    const { generated, versioned } = outcome.value;
    if (!versioned) return success({ generated, stored: false });
    currentModel.observe(generated.model, scope);
    // Under the revision that made it, which may be newer than the one that was asked for.
    const key = await captionKey({ revision: generated.model.revision, options, sha256 });
    return success({ generated, stored: cache.store(key, { kind: "caption", generated }, scope) });
  }

  /** Leads or joins the one run for this key. The promise carries plain data, so requests may share it. */
  async function generateOnce(
    request: CaptionRequest,
    model: KnownModel | undefined,
  ): Promise<Result<CaptionAnswer>> {
    const { sha256, scope } = request;
    const options = withoutDefaults(request.options, model);
    const key = await captionKey({ sha256, options, revision: model?.revision ?? "unknown" });
    const led = inFlight.get(key);
    const leftMs = led === undefined ? 0 : Math.min(led.deadline, scope.deadline) - scope.now();
    if (led !== undefined && leftMs > 0) {
      const joined = await timed(scope, "joined", () => within(leftMs, led.outcome));
      if (joined !== TIMED_OUT)
        return joined.ok ? asAnswer(joined.value, { collapsed: true, model }) : joined;
      // The platform may have cut the leader off: its run never settles, and this request asks for itself.
    }
    const run: Run = { outcome: generate({ ...request, options }, model), deadline: scope.deadline };
    inFlight.set(key, run);
    const settled = run.outcome.finally(() => {
      if (inFlight.get(key) === run) inFlight.delete(key);
    });
    // The caller may go; those who joined still wait, and the caption is worth keeping.
    scope.background.waitUntil(settled);
    const outcome = await run.outcome;
    return outcome.ok ? asAnswer(outcome.value, { collapsed: false, model }) : outcome;
  }

  async function lookUp(request: LookupRequest, model: KnownModel | undefined) {
    const hit = await find(request, model);
    return hit === undefined ? undefined : fromHit(hit, model);
  }

  return {
    async lookUp(request) {
      const model = await currentModel.get(request.scope);
      return lookUp(request, model);
    },
    async warm({ sha256s, options }, scope) {
      const model = await currentModel.get(scope);
      if (model === undefined) return;
      const keyOptions = withoutDefaults(options, model);
      const keys = await Promise.all(
        sha256s.map((sha256) => captionKey({ revision: model.revision, options: keyOptions, sha256 })),
      );
      await cache.warm(keys, scope);
    },
    async caption(request) {
      const model = await currentModel.get(request.scope);
      const found = await lookUp(request, model);
      if (found !== undefined) return found;
      await request.beforeGenerating?.();
      return generateOnce(request, model);
    },
  };
}

function fromHit({ entry, tier }: CacheHit, model: KnownModel | undefined): Result<CaptionAnswer> {
  if (entry.kind === "failure") return failed(entry.failure);
  const { generated } = entry;
  return success({
    generated,
    provenance: { kind: "hit", tier },
    reviewBelow: reviewBelow(generated.model, model),
  });
}

function asAnswer(
  { generated, stored }: Generated,
  { collapsed, model }: { readonly collapsed: boolean; readonly model: KnownModel | undefined },
): Result<CaptionAnswer> {
  return success({
    generated,
    provenance: { kind: "generated", stored, collapsed },
    reviewBelow: reviewBelow(generated.model, model),
  });
}
