/** The bindings of `wrangler.toml`. Variables are beside them; only `config.ts` reads those. */

import type { QuotaCounter } from "./access/quota-counter.ts";
import type { CaptionJob } from "./jobs/caption-job.ts";
import type { JobMessage } from "./jobs/message.ts";

export interface Bindings {
  /** What local/pages/build.ts has made. */
  readonly ASSETS: Fetcher;
  /** Captions and the model's revision. */
  readonly CAPTIONS: KVNamespace;
  /** API keys, hashed. */
  readonly KEYS: KVNamespace;
  /** Requests a key may send a minute, in each location. */
  readonly RATE_LIMIT: RateLimit;
  /** Keys that do not exist which an address may try a minute, in each location. */
  readonly STRANGER_LIMIT: RateLimit;
  /** New captions of a key a day. */
  readonly QUOTA: DurableObjectNamespace<QuotaCounter>;
  /** Jobs, an object each. */
  readonly JOBS: DurableObjectNamespace<CaptionJob>;
  /** Parts of jobs that are to be done. */
  readonly JOB_QUEUE: Queue<JobMessage>;
}
