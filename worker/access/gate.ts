/**
 * Decides whether a request is let in: by its key, what the key allows, how fast, and how much per day. Denies unless
 * configured open.
 */

import type { MiddlewareHandler } from "hono";
import type { ApiKeyRecord, ApiKeyScope } from "../../shared/api-key.ts";
import { FailureError } from "../../shared/problem.ts";
import type { AppEnv } from "../request/context.ts";
import type { RequestScope } from "../request/scope.ts";
import { TIMED_OUT, within } from "../request/within.ts";
import { ANYBODY, type Caller, NO_CHARGE } from "./caller.ts";
import type { KeyRing } from "./key-ring.ts";
import type { QuotaCounter, QuotaGrant } from "./quota-counter.ts";
import { STRANGER_PERIOD_SECONDS, type StrangerLimit } from "./stranger-limit.ts";

/** `period` of the binding in wrangler.toml. */
const RATE_LIMIT_PERIOD_SECONDS = 60;
const KEY_STORE_RETRY_SECONDS = 5;

export interface Gate {
  /** Middleware that lets only callers with `needed` through. */
  require(needed: ApiKeyScope): MiddlewareHandler<AppEnv>;
  /** The holder of key `id`, for work that goes on after an answer; "revoked" if the key may no longer do it. */
  holderOf(id: string, needed: ApiKeyScope, scope: RequestScope): Promise<Caller | "revoked" | "unknown-now">;
}

/** The gate of an open deployment: everybody may come in, nothing is counted. */
export const OPEN_GATE: Gate = {
  require: () => async (context, next) => {
    context.set("caller", ANYBODY);
    await next();
  },
  holderOf: async (id) => (id === ANYBODY.id ? ANYBODY : "revoked"),
};

export function createKeyGate(parts: {
  readonly keyRing: KeyRing;
  readonly rateLimit: RateLimit;
  readonly quota: DurableObjectNamespace<QuotaCounter>;
  readonly strangers: StrangerLimit;
  /** Whether each key has a cache of its own. */
  readonly dividesCache: boolean;
  /** Most items of jobs that a key may send per day. */
  readonly jobItemsADay: number;
  readonly counterTimeoutMs: number;
  readonly now: () => number;
}): Gate {
  const { keyRing, rateLimit, quota, strangers, dividesCache, jobItemsADay, counterTimeoutMs, now } = parts;

  /** Counting must neither fail a request nor hold it up for long: a slow or broken counter lets it pass. */
  async function counted<T>(
    scope: RequestScope,
    what: string,
    work: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      const value = await within(counterTimeoutMs, work());
      if (value !== TIMED_OUT) return value;
      scope.log.warnings.push(`${what} is slow`);
    } catch (error) {
      scope.log.warnings.push(`${what} failed: ${error instanceof Error ? error.message : "unknown"}`);
    }
    return undefined;
  }

  async function holder(
    authorization: string | undefined,
    { address, scope }: { readonly address: string | undefined; readonly scope: RequestScope },
  ): Promise<ApiKeyRecord> {
    // RFC 6750, section 2.1.
    const key = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (key === undefined) {
      throw new FailureError({ code: "unauthorized", detail: "Send a key: Authorization: Bearer ate_..." });
    }
    const verdict = await keyRing.verify(key, {
      mayAsk: () => strangers.mayAsk(address),
      warn: (warning) => scope.log.warnings.push(warning),
    });
    switch (verdict.kind) {
      case "valid":
        return verdict.record;
      case "invalid":
        await counted(scope, "stranger limit", () => strangers.count(address));
        throw new FailureError({ code: "unauthorized", detail: "The key is not valid." });
      case "not-asked":
        throw new FailureError({
          code: "rate-limited",
          detail: "Too many keys that do not exist were sent from this address.",
          retryAfterSeconds: STRANGER_PERIOD_SECONDS,
        });
      case "unknown-now":
        throw new FailureError({
          code: "unavailable",
          detail: "The key cannot be checked now; try again shortly.",
          retryAfterSeconds: KEY_STORE_RETRY_SECONDS,
        });
    }
  }

  async function limitRate(record: ApiKeyRecord, scope: RequestScope): Promise<void> {
    const outcome = await counted(scope, "rate limit", () => rateLimit.limit({ key: record.id }));
    if (outcome === undefined || outcome.success) return;
    scope.headers.set("ratelimit", `"rate";r=0;t=${RATE_LIMIT_PERIOD_SECONDS}`);
    throw new FailureError({
      code: "rate-limited",
      detail: "The key sends requests too fast.",
      retryAfterSeconds: RATE_LIMIT_PERIOD_SECONDS,
    });
  }

  /** Says in the headers what is left of the daily quota. @throws {FailureError} `quota-exceeded` */
  function heed(grant: QuotaGrant, { daily_quota }: ApiKeyRecord, scope: RequestScope): void {
    const resetSeconds = secondsToMidnight(now());
    // RateLimit header fields for HTTP, draft-ietf-httpapi-ratelimit-headers-10.
    scope.headers.set("ratelimit-policy", `"daily";q=${daily_quota};w=86400`);
    scope.headers.set("ratelimit", `"daily";r=${grant.remaining};t=${resetSeconds}`);
    if (grant.granted) return;
    throw new FailureError({
      code: "quota-exceeded",
      detail: `The key's ${daily_quota} new captions for today are used up; captions already made are still served.`,
      retryAfterSeconds: resetSeconds,
    });
  }

  function callerOf(record: ApiKeyRecord, scope: RequestScope): Caller {
    const { id, daily_quota } = record;
    const today = () => new Date(now()).toISOString().slice(0, 10);
    return {
      id,
      cacheOwner: dividesCache ? id : undefined,
      countItem: () => limitRate(record, scope),
      async requireQuota() {
        const grant = await counted(scope, "quota", () => quota.getByName(id).look(today(), daily_quota));
        if (grant !== undefined) heed(grant, record, scope);
      },
      async charge() {
        const grant = await counted(scope, "quota", () => quota.getByName(id).spend(today(), daily_quota));
        if (grant === undefined) return NO_CHARGE;
        heed(grant, record, scope);
        return {
          async refund() {
            heed({ ...grant, remaining: grant.remaining + 1 }, record, scope);
            await counted(scope, "quota", () => quota.getByName(id).giveBack(grant.day));
          },
        };
      },
      async countJobItems(count) {
        if (count > jobItemsADay) {
          throw new FailureError({
            code: "too-many-items",
            detail: `A key may send ${jobItemsADay} items in jobs a day, and this job has ${count}. Nothing of it was kept; send it in parts, on several days.`,
          });
        }
        const counter = quota.getByName(`${id}/job-items`);
        const grant = await counted(scope, "quota", () => counter.spend(today(), jobItemsADay, count));
        if (grant === undefined || grant.granted) return;
        throw new FailureError({
          code: "quota-exceeded",
          detail: `The job has ${count} items, but of the ${jobItemsADay} job items that a key may send per day, ${grant.remaining} are left. Nothing of the job was kept.`,
          retryAfterSeconds: secondsToMidnight(now()),
        });
      },
    };
  }

  return {
    async holderOf(id, needed, scope) {
      const record = await keyRing.record(id, { warn: (warning) => scope.log.warnings.push(warning) });
      if (record === "unknown-now") return record;
      return record !== "absent" && record.scopes.includes(needed) ? callerOf(record, scope) : "revoked";
    },
    require: (needed) => async (context, next) => {
      const { scope } = context.var;
      const address = context.req.header("cf-connecting-ip");
      const record = await holder(context.req.header("authorization"), { address, scope });
      scope.log.keyId = record.id;
      if (!record.scopes.includes(needed)) {
        throw new FailureError({ code: "forbidden", detail: `The key lacks the scope "${needed}".` });
      }
      await limitRate(record, scope);
      context.set("caller", callerOf(record, scope));
      await next();
    },
  };
}

function secondsToMidnight(epochMs: number): number {
  const time = new Date(epochMs);
  const midnight = Date.UTC(time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate() + 1);
  return Math.ceil((midnight - epochMs) / 1000);
}
