/**
 * The way of a picture: the cache, on a miss a captioner, then the cache again. Identical pictures in flight share one
 * answer. No HTTP here, and no picture is fetched before the cache has missed.
 */

import { FailureError, PROBLEMS } from "../shared/problem.ts";
import { failed, type Result, success } from "../shared/result.ts";
import type { ReviewRule } from "../shared/review.ts";
import type { GeneratedCaption, GenerationOptions, ModelIdentity } from "../shared/schema.ts";
import type { Caller } from "./access/caller.ts";
import {
  type CurrentModel,
  type KnownModel,
  reviewRuleOf,
  withoutDefaults,
} from "./backends/current-model.ts";
import type { BackendPool } from "./backends/pool.ts";
import type { CacheHit, CaptionCache } from "./cache/caption-cache.ts";
import { captionKey, captionKeyPrefix } from "./cache/key.ts";
import type { CacheTierName } from "./cache/tier-names.ts";
import type { Picture } from "./picture.ts";
import { type RequestScope, timed } from "./request/scope.ts";
import { TIMED_OUT, within } from "./request/within.ts";

/** How an answer came about; `Cache-Status` tells it to the client. */
export type Provenance =
  | { readonly kind: "hit"; readonly tier: CacheTierName }
  | {
      readonly kind: "generated";
      /** The tier that was asked last. */
      readonly missed: CacheTierName | undefined;
      readonly stored: boolean;
      readonly collapsed: boolean;
    };

export interface CaptionAnswer {
  readonly generated: GeneratedCaption;
  readonly provenance: Provenance;
  /** How captions of the model that said it are judged, if that is known. */
  readonly review: ReviewRule | undefined;
}

export interface LookupRequest {
  readonly sha256: string;
  readonly options: GenerationOptions;
  readonly caller: Caller;
  readonly scope: RequestScope;
}

export interface CaptionRequest extends LookupRequest {
  readonly picture: Picture;
}

export interface CachingCaptioner {
  /** From the cache alone. */
  lookUp(request: LookupRequest): Promise<Result<CaptionAnswer> | undefined>;
  /** Reads many pictures' captions into memory in one read, for a batch. */
  warm(
    requests: {
      readonly sha256s: readonly string[];
      readonly options: GenerationOptions;
      readonly caller: Caller;
    },
    scope: RequestScope,
  ): Promise<void>;
  /** From the cache, else from a captioner. @throws {FailureError} if the caller may have no new caption */
  caption(request: CaptionRequest): Promise<Result<CaptionAnswer>>;
  /** Takes every caption of a picture out of the cache. False if a tier that all share may still hold some. */
  forget(request: LookupRequest): Promise<boolean>;
}

interface Generated {
  readonly generated: GeneratedCaption;
  readonly stored: boolean;
  /** Made for this run, neither remembered nor shared by the captioner. */
  readonly fresh: boolean;
}

/** The leader of a run may have no new caption, so those who joined it start over. */
const NOT_BEGUN = Symbol("not begun");

/** A run that others may join. */
interface Run {
  readonly outcome: Promise<Result<Generated> | typeof NOT_BEGUN>;
  /** Epoch milliseconds after which it is not waited for. */
  readonly deadline: number;
  readonly priority: RequestScope["priority"];
}

export function createCachingCaptioner(parts: {
  readonly cache: CaptionCache;
  readonly pool: BackendPool;
  readonly currentModel: CurrentModel;
  /** The model of a captioner that names none. It answers beside the current model, or in its place. */
  readonly hostedModel: ModelIdentity | undefined;
}): CachingCaptioner {
  const { cache, pool, currentModel, hostedModel } = parts;
  const inFlight = new Map<string, Run>();

  async function find(request: LookupRequest, model: KnownModel | undefined): Promise<CacheHit | undefined> {
    if (model === undefined) return undefined;
    const key = await keyOf(request, model.revision, model);
    const hosted = hostedBeside(model);
    if (hosted === undefined) return cache.find(key, request.scope);
    const hostedKey = await keyOf(request, hosted.revision, model);
    return (
      cache.recall(key) ??
      cache.recall(hostedKey) ??
      (await cache.find(key, request.scope)) ??
      (await cache.find(hostedKey, request.scope))
    );
  }

  function hostedBeside({ revision }: KnownModel): ModelIdentity | undefined {
    return hostedModel?.revision === revision ? undefined : hostedModel;
  }

  /** The keys under which a picture's caption may be: by the current model, and by the hosted one if that differs. */
  function keysOf(
    request: Pick<LookupRequest, "sha256" | "options" | "caller">,
    model: KnownModel,
  ): Promise<string[]> {
    const models = [model, hostedBeside(model)].filter((one) => one !== undefined);
    return Promise.all(models.map(({ revision }) => keyOf(request, revision, model)));
  }

  function keyOf(
    { sha256, options, caller }: Pick<LookupRequest, "sha256" | "options" | "caller">,
    revision: string,
    model: KnownModel | undefined,
  ): Promise<string> {
    const { cacheOwner: owner } = caller;
    // It is not known what another revision does with an absent option.
    const saying = model?.revision === revision ? withoutDefaults(options, model) : options;
    return captionKey({ revision, options: saying, sha256, owner });
  }

  /** Charges for what is generated, and for nothing else. */
  async function chargeAndGenerate(
    request: CaptionRequest,
    model: KnownModel | undefined,
  ): Promise<Result<Generated>> {
    const charge = await request.caller.charge();
    let isDue = false;
    try {
      const outcome = await generate(request, model);
      isDue = outcome.ok && outcome.value.fresh;
      return outcome;
    } finally {
      if (!isDue) {
        const refunded = charge.refund();
        request.scope.background.waitUntil(refunded);
        await refunded;
      }
    }
  }

  async function generate(
    request: CaptionRequest,
    model: KnownModel | undefined,
  ): Promise<Result<Generated>> {
    const { sha256, picture, options, caller, scope } = request;
    const { cacheOwner: owner } = caller;
    const outcome = await timed(scope, "captioner", () =>
      pool.caption({ sha256, picture, options, owner, scope }),
    );
    if (!outcome.ok) {
      if (PROBLEMS[outcome.failure.code].follows === "bytes" && model !== undefined) {
        const { code, detail } = outcome.failure;
        const key = await keyOf(request, model.revision, model);
        cache.store(key, { kind: "failure", failure: { code, detail } }, scope);
      }
      return outcome;
    }
    const { generated, versioned, fresh } = outcome.value;
    if (!versioned) return success({ generated, stored: false, fresh });
    currentModel.observe(generated.model, scope);
    // Stored under the revision that made it, which may be newer than the one that was looked up.
    const key = await keyOf(request, generated.model.revision, model);
    return success({ generated, stored: cache.store(key, { kind: "caption", generated }, scope), fresh });
  }

  /** Leads or joins the one run for this key. The promise carries plain data, so requests may share it. */
  async function generateOnce(
    request: CaptionRequest,
    model: KnownModel | undefined,
  ): Promise<Result<CaptionAnswer>> {
    const { scope } = request;
    const key = await keyOf(request, model?.revision ?? "unknown", model);
    for (let led = inFlight.get(key); led !== undefined; led = inFlight.get(key)) {
      const { outcome, deadline, priority } = led;
      // The captioner then joins the two requests, and gives the picture priority.
      if (priority === "background" && scope.priority === "interactive") break;
      const leftMs = Math.min(deadline, scope.deadline) - scope.now();
      if (leftMs <= 0) break;
      const joined = await timed(scope, "joined", () => within(leftMs, outcome));
      // The platform may have cut the leader off. Its run then never settles, so this request asks by itself.
      if (joined === TIMED_OUT) break;
      if (joined === NOT_BEGUN) continue;
      return joined.ok ? asAnswer(joined.value, { collapsed: true, model }) : joined;
    }
    return lead(key, request, model);
  }

  async function lead(
    key: string,
    request: CaptionRequest,
    model: KnownModel | undefined,
  ): Promise<Result<CaptionAnswer>> {
    const { scope } = request;
    const own = chargeAndGenerate(request, model);
    const forget = () => {
      if (inFlight.get(key) === run) inFlight.delete(key);
    };
    const shared: Run["outcome"] = own.then<Result<Generated>, typeof NOT_BEGUN>(
      (outcome) => {
        forget();
        return outcome;
      },
      (error: unknown) => {
        forget();
        if (error instanceof FailureError) return NOT_BEGUN;
        throw error;
      },
    );
    const run: Run = { outcome: shared, deadline: scope.deadline, priority: scope.priority };
    inFlight.set(key, run);
    // The caller may leave, but those who joined still wait, and the caption is worth keeping.
    scope.background.waitUntil(shared.catch(() => {}));
    const outcome = await own;
    return outcome.ok ? asAnswer(outcome.value, { collapsed: false, model }) : outcome;
  }

  function asAnswer(
    { generated, stored }: Generated,
    { collapsed, model }: { readonly collapsed: boolean; readonly model: KnownModel | undefined },
  ): Result<CaptionAnswer> {
    return success({
      generated,
      provenance: { kind: "generated", missed: cache.farthest, stored, collapsed },
      review: reviewRuleOf(generated.model, model),
    });
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
    async warm({ sha256s, options, caller }, scope) {
      const model = await currentModel.get(scope);
      if (model === undefined) return;
      const keys = await Promise.all(sha256s.map((sha256) => keysOf({ sha256, options, caller }, model)));
      await cache.warm(keys.flat(), scope);
    },
    async caption(request) {
      const model = await currentModel.get(request.scope);
      const found = await lookUp(request, model);
      return found ?? generateOnce(request, model);
    },
    async forget(request) {
      const { sha256, caller, scope } = request;
      const model = await currentModel.get(scope);
      // What was stored elsewhere a moment ago is not listed yet, so the keys that can be computed are named.
      const named = model === undefined ? [] : await keysOf(request, model);
      return cache.forget(captionKeyPrefix({ sha256, owner: caller.cacheOwner }), named, scope);
    },
  };
}

function fromHit({ entry, tier }: CacheHit, model: KnownModel | undefined): Result<CaptionAnswer> {
  if (entry.kind === "failure") return failed(entry.failure);
  const { generated } = entry;
  return success({
    generated,
    provenance: { kind: "hit", tier },
    review: reviewRuleOf(generated.model, model),
  });
}
