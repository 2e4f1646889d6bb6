/**
 * Knows which model revision is current. It is learnt from the captioners and kept in KV, so that a cached caption is found
 * while every captioner is down, and an old one is not found once new weights are out.
 *
 * What is known counts as fresh for 5 s. Up to 30 s it is used while a check runs behind the answer. After that, a request
 * waits for a check, at most half a second, and then goes on with what is known; while no captioner answers, one request in
 * 5 s waits like this. An answer that names another revision brings the check forward. While a deploy is under way
 * captioners differ, and the first one in configured order decides.
 */

import * as z from "zod/mini";
import type { ReviewRule } from "../../shared/review.ts";
import { BackendModel, type GenerationOptions, ModelIdentity, Review } from "../../shared/schema.ts";
import type { RequestScope } from "../request/scope.ts";
import { timed } from "../request/scope.ts";
import { since } from "../request/since.ts";
import { singleFlight } from "../request/single-flight.ts";
import { TIMED_OUT, within } from "../request/within.ts";

const FRESH_MS = 5_000;
const USABLE_MS = 30_000;
/**
 * How often each isolate stores that nothing has changed. It is rare because a key of KV takes one write per second from
 * all isolates, writes are paid for or counted per day, and what is read back may be a minute old anyway.
 */
const STORE_AGAIN_MS = 60 * 60_000;
const CHECK_TIMEOUT_MS = 500;
const ASK_TIMEOUT_MS = 5_000;
const KV_KEY = "model";

const KnownModel = z.extend(ModelIdentity, {
  /** What the model does with an absent option, if it says so. */
  defaults: z.optional(BackendModel.shape.defaults),
  /** How its captions are judged, if it was calibrated. */
  review: z.optional(z.pick(Review, { below: true, weights: true })),
  /** Epoch milliseconds of the last word from a captioner. */
  checkedAt: z.number(),
});
export type KnownModel = z.infer<typeof KnownModel>;

export interface CurrentModel {
  /** The current model; undefined if no captioner has ever named one. Never throws. */
  get(scope: RequestScope): Promise<KnownModel | undefined>;
  /** Takes note of the model that a captioner's answer names. */
  observe(identity: ModelIdentity, scope: RequestScope): void;
}

export function createCurrentModel(options: {
  readonly ask: (timeoutMs: number) => Promise<BackendModel | undefined>;
  readonly namespace: KVNamespace;
  readonly hostedModel: ModelIdentity | undefined;
  readonly kvTimeoutMs: number;
  readonly now: () => number;
}): CurrentModel {
  const { ask, namespace, hostedModel, kvTimeoutMs, now } = options;
  let known: KnownModel | undefined;
  let storedAt = 0;
  let checkedLastAt = 0;
  let answeredLastAt = 0;

  const isHosted = ({ id, revision }: ModelIdentity) =>
    id === hostedModel?.id && revision === hostedModel.revision;
  const age = () => (known === undefined ? Number.POSITIVE_INFINITY : since(known.checkedAt, now()));

  async function readStored(scope: RequestScope): Promise<void> {
    try {
      const value = await timed(scope, "kv", () => within(kvTimeoutMs, namespace.get(KV_KEY, "json")));
      const parsed = KnownModel.safeParse(value === TIMED_OUT ? undefined : value);
      if (!parsed.success || parsed.data.checkedAt <= (known?.checkedAt ?? 0)) return;
      known = parsed.data;
      storedAt = parsed.data.checkedAt;
    } catch {
      scope.log.warnings.push("kv failed: model");
    }
  }

  function learn(model: Omit<KnownModel, "checkedAt">, scope: RequestScope): void {
    const isSameReview = JSON.stringify(known?.review) === JSON.stringify(model.review);
    const changed = known?.revision !== model.revision || known.id !== model.id || !isSameReview;
    // An unchanged rule stays the same object, because rendered answers are matched to their rule by identity.
    known = {
      ...model,
      ...(isSameReview && known?.review ? { review: known.review } : {}),
      checkedAt: now(),
    };
    if (!changed && since(storedAt, now()) < STORE_AGAIN_MS) return;
    storedAt = now();
    const stored = namespace.put(KV_KEY, JSON.stringify(known)).catch(() => {
      storedAt = now() - STORE_AGAIN_MS + USABLE_MS;
      scope.log.warnings.push("kv failed: model not stored");
    });
    scope.background.waitUntil(stored);
  }

  const read = singleFlight(readStored, { maxMs: kvTimeoutMs, now });
  const check = singleFlight(
    async (scope: RequestScope) => {
      checkedLastAt = now();
      const model = await ask(ASK_TIMEOUT_MS);
      if (model !== undefined) {
        const { id, revision, defaults, review } = model;
        const rule = review ? { review: { below: review.below, weights: review.weights } } : {};
        learn({ id, revision, defaults, ...rule }, scope);
      } else if (hostedModel && (known === undefined || isHosted(known))) learn(hostedModel, scope);
      answeredLastAt = now();
    },
    { maxMs: ASK_TIMEOUT_MS, now },
  );

  function checkBehind(scope: RequestScope): Promise<void> {
    const checked = check(scope);
    scope.background.waitUntil(checked);
    return checked;
  }

  return {
    async get(scope) {
      if (known === undefined) await within(kvTimeoutMs, read(scope));
      const isIdle = answeredLastAt >= checkedLastAt;
      const justTried = isIdle && since(checkedLastAt, now()) <= FRESH_MS;
      if (age() <= FRESH_MS || justTried) return known;
      const checked = checkBehind(scope);
      if (age() > USABLE_MS) await timed(scope, "model", () => within(CHECK_TIMEOUT_MS, checked));
      return known;
    },
    observe(identity, scope) {
      if (known?.revision === identity.revision && known.id === identity.id) return;
      // A hosted endpoint answers beside the others, and says nothing about their model.
      if (known !== undefined && isHosted(identity)) return;
      if (known === undefined) learn(identity, scope);
      checkBehind(scope);
    },
  };
}

/** How captions of `identity` are judged; undefined if it is not the known model, or has no rule. */
export function reviewRuleOf(identity: ModelIdentity, model: KnownModel | undefined): ReviewRule | undefined {
  return model?.id === identity.id && model.revision === identity.revision ? model.review : undefined;
}

/** Leaves out options that equal the model's defaults, so that a request finds the same caption with and without them. */
export function withoutDefaults(
  options: GenerationOptions,
  model: KnownModel | undefined,
): GenerationOptions {
  const defaults: GenerationOptions = model?.defaults ?? {};
  return Object.fromEntries(
    Object.entries(options).filter(
      ([name, value]) => value !== undefined && value !== defaults[name as keyof GenerationOptions],
    ),
  );
}
