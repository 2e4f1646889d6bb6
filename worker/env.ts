/** The bindings of `wrangler.toml`. Variables are beside them; only `config.ts` reads those. */

import type { QuotaCounter } from "./access/quota-counter.ts";
import type { CaptionJob } from "./jobs/caption-job.ts";
import type { JobMessage } from "./jobs/message.ts";

export interface Bindings {
  /** Files made by local/pages/build.ts. */
  readonly ASSETS: Fetcher;
  /** Captions and the model's revision. */
  readonly CAPTIONS: KVNamespace;
  /** API keys, hashed. */
  readonly KEYS: KVNamespace;
  /** Requests that a key may send per minute, in each location. */
  readonly RATE_LIMIT: RateLimit;
  /** How many keys that do not exist an address may try per minute, in each location. */
  readonly STRANGER_LIMIT: RateLimit;
  /** Counts new captions, and items of jobs, per key and day. */
  readonly QUOTA: DurableObjectNamespace<QuotaCounter>;
  /** Jobs, one object each. */
  readonly JOBS: DurableObjectNamespace<CaptionJob>;
  /** Parts of jobs that still have to be done. */
  readonly JOB_QUEUE: Queue<JobMessage>;
}
