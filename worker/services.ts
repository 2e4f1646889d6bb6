/** Puts the parts together for one environment. The only place that knows them all. */

import { createBackend } from "./backends/backend.ts";
import { type CurrentModel, createCurrentModel } from "./backends/current-model.ts";
import { type BackendPool, createBackendPool } from "./backends/pool.ts";
import { createCaptionCache } from "./cache/caption-cache.ts";
import { createColoTier } from "./cache/colo.ts";
import { createKvTier } from "./cache/kv.ts";
import { createMemoryTier } from "./cache/memory.ts";
import { type Captioner, createCaptioner } from "./captioner.ts";
import { type Config, parseConfig } from "./config.ts";
import type { Bindings } from "./env.ts";

export interface Services {
  readonly config: Config;
  readonly captioner: Captioner;
  readonly currentModel: CurrentModel;
  readonly pool: BackendPool;
}

/** @throws {Error} where the configuration is not valid. */
export function createServices(env: Bindings): Services {
  const config = parseConfig(env);
  const now = Date.now;
  const pool = createBackendPool(
    config.BACKEND_URLS.map((url) =>
      createBackend({
        url,
        secret: config.BACKEND_SECRET,
        hostedModel: config.HOSTED_MODEL,
        fetch: (input, init) => fetch(input, init),
      }),
    ),
    { attemptTimeoutMs: config.ATTEMPT_TIMEOUT_MS, now },
  );
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
  return { config, captioner: createCaptioner({ cache, pool, currentModel }), currentModel, pool };
}
