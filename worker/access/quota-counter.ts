/**
 * Counts a key's new captions of the day. A Durable Object, because the count must be right: KV takes one write a second
 * a key and is read late. It is asked on a miss only, where the trip to the captioner dwarfs it.
 */

import { DurableObject } from "cloudflare:workers";

export interface QuotaGrant {
  readonly granted: boolean;
  readonly remaining: number;
}

export class QuotaCounter extends DurableObject {
  /** Spends one of `limit` captions of `day` (`YYYY-MM-DD`). Counts of other days are forgotten. */
  async spend(day: string, limit: number): Promise<QuotaGrant> {
    const used = (await this.ctx.storage.get<number>(day)) ?? 0;
    if (used >= limit) return { granted: false, remaining: 0 };
    if (used === 0) await this.ctx.storage.deleteAll();
    await this.ctx.storage.put(day, used + 1);
    return { granted: true, remaining: limit - used - 1 };
  }
}
