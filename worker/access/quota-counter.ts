/**
 * Counts what a key spends per day: new captions and, in a separate object, items of jobs. It is a Durable Object because
 * the count must be right, while KV takes only one write per second for a key and is read late. It is asked only on a miss,
 * where the trip to the captioner dwarfs it, and once per job.
 */

import { DurableObject } from "cloudflare:workers";

export interface QuotaGrant {
  readonly granted: boolean;
  /** What is left of the day. */
  readonly remaining: number;
  /** The day it was counted on, `YYYY-MM-DD`. */
  readonly day: string;
}

interface Count {
  readonly day: string;
  readonly used: number;
}

const COUNT = "count";

export class QuotaCounter extends DurableObject {
  /** Spends `amount` of the `limit` of `day` (`YYYY-MM-DD`): all of it, or nothing if less is left. */
  async spend(day: string, limit: number, amount = 1): Promise<QuotaGrant> {
    const count = await this.#countOf(day);
    const used = count.used + amount;
    if (used > limit) return { granted: false, remaining: Math.max(0, limit - count.used), day: count.day };
    await this.ctx.storage.put<Count>(COUNT, { day: count.day, used });
    return { granted: true, remaining: limit - used, day: count.day };
  }

  /** Gives back one unit that was spent on `day`. */
  async giveBack(day: string): Promise<void> {
    const count = await this.#countOf(day);
    if (count.day !== day || count.used === 0) return;
    await this.ctx.storage.put<Count>(COUNT, { day, used: count.used - 1 });
  }

  /** What is left of `day`, without spending anything. */
  async look(day: string, limit: number): Promise<QuotaGrant> {
    const count = await this.#countOf(day);
    const remaining = Math.max(0, limit - count.used);
    return { granted: remaining > 0, remaining, day: count.day };
  }

  /**
   * The stored day never goes back by one, because clocks differ around midnight and each return would start the day anew.
   * A stored day further ahead came from a wrong clock, and would otherwise be counted on until that day comes.
   */
  async #countOf(day: string): Promise<Count> {
    const stored = await this.ctx.storage.get<Count>(COUNT);
    const isThisDay = stored !== undefined && stored.day >= day && stored.day <= dayAfter(day);
    return isThisDay ? stored : { day, used: 0 };
  }
}

function dayAfter(day: string): string {
  const date = new Date(day);
  date.setUTCDate(date.getUTCDate() + 1);
  return date.toISOString().slice(0, 10);
}
