/** Puts the parts together for one environment. The only place that knows all of them. */

import { createKeyGate, type Gate, OPEN_GATE } from "./access/gate.ts";
import { createKeyRing } from "./access/key-ring.ts";
import { createStrangerLimit } from "./access/stranger-limit.ts";
import { type BackendOptions, createBackend } from "./backends/backend.ts";
import { type CurrentModel, createCurrentModel } from "./backends/current-model.ts";
import { type BackendPool, createBackendPool } from "./backends/pool.ts";
import { createCaptionCache } from "./cache/caption-cache.ts";
import { createColoTier } from "./cache/colo.ts";
import { createKvTier } from "./cache/kv.ts";
import { createMemoryTier } from "./cache/memory.ts";
import { type CachingCaptioner, createCachingCaptioner } from "./caching-captioner.ts";
import { type Config, parseConfig } from "./config.ts";
import type { Bindings } from "./env.ts";
import type { FetchPicture } from "./intake/picture-request.ts";
import { fetchPicture } from "./intake/url/fetch-picture.ts";
import type { CaptionJob } from "./jobs/caption-job.ts";

export interface Services {
  readonly config: Config;
  /** Pages and their files. */
  readonly assets: Bindings["ASSETS"];
  readonly captioner: CachingCaptioner;
  readonly currentModel: CurrentModel;
  readonly pool: BackendPool;
  readonly gate: Gate;
  readonly fetchPicture: FetchPicture;
  /** Jobs, one object each. */
  readonly jobs: DurableObjectNamespace<CaptionJob>;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** https://developers.cloudflare.com/cloudflare-one/access-controls/service-credentials/service-tokens/ */
function accessHeaders({
  CF_ACCESS_CLIENT_ID: id,
  CF_ACCESS_CLIENT_SECRET: secret,
}: Config): Record<string, string> {
  return id && secret ? { "cf-access-client-id": id, "cf-access-client-secret": secret } : {};
}

/** @throws {Error} if the configuration is not valid. */
export function createServices(env: Bindings): Services {
  const config = parseConfig(env);
  const now = () => Date.now();
  const backendsAt = (urls: readonly string[], access: Pick<BackendOptions, "secret" | "accessHeaders">) =>
    urls.map((url) =>
      createBackend({
        url,
        ...access,
        hostedModel: config.HOSTED_MODEL,
        fetch: (input, init) => fetch(input, init),
      }),
    );
  const own = { secret: config.BACKEND_SECRET, accessHeaders: accessHeaders(config) };
  const pool = createBackendPool(backendsAt(config.BACKEND_URLS, own), {
    fallbacks: backendsAt(config.FALLBACK_URLS, { secret: config.FALLBACK_TOKEN, accessHeaders: {} }),
    attemptTimeoutMs: config.ATTEMPT_TIMEOUT_MS,
    now,
  });
  const currentModel = createCurrentModel({
    ask: pool.model,
    namespace: env.CAPTIONS,
    hostedModel: config.HOSTED_MODEL,
    kvTimeoutMs: config.KV_TIMEOUT_MS,
    now,
  });
  const uses = (tier: Config["CACHE_TIERS"][number]) => config.CACHE_TIERS.includes(tier);
  const cache = createCaptionCache(
    {
      ...(uses("memory") ? { memory: createMemoryTier({ now }) } : {}),
      ...(uses("colo") ? { colo: createColoTier(() => caches.open("captions")) } : {}),
      ...(uses("kv") ? { kv: createKvTier(env.CAPTIONS) } : {}),
    },
    { timeoutMs: config.KV_TIMEOUT_MS },
  );
  const keyRing = createKeyRing({ namespace: env.KEYS, timeoutMs: config.KV_TIMEOUT_MS, now });
  const gate =
    config.ACCESS === "open"
      ? OPEN_GATE
      : createKeyGate({
          keyRing,
          rateLimit: env.RATE_LIMIT,
          quota: env.QUOTA,
          strangers: createStrangerLimit({ rateLimit: env.STRANGER_LIMIT, now }),
          dividesCache: config.CACHE_SCOPE === "key",
          jobItemsADay: config.JOB_ITEMS_A_DAY,
          counterTimeoutMs: config.COUNTER_TIMEOUT_MS,
          now,
        });
  return {
    config,
    assets: env.ASSETS,
    captioner: createCachingCaptioner({
      cache,
      pool,
      currentModel,
      hostedModel: config.HOSTED_MODEL,
    }),
    currentModel,
    pool,
    gate,
    jobs: env.JOBS,
    now,
    fetchPicture: (url, hold) =>
      fetchPicture(url, {
        fetch: (input, init) => fetch(input, init),
        allowedHosts: config.URL_ALLOWED_HOSTS,
        timeoutMs: config.URL_TIMEOUT_MS,
        hold,
      }),
  };
}
