/** Jobs whose process died stay marked as running for ever: ours are put back. */

import type { Payload } from "payload";
import { DEAD_JOB_MS } from "./limits.ts";
import { DESCRIBE_QUEUE, RUN_QUEUE } from "./names.ts";

/** Puts back the plugin's jobs that have been running for longer than any of them takes. */
export async function recoverDeadJobs(payload: Payload, now: number = Date.now()): Promise<void> {
  const before = new Date(now - DEAD_JOB_MS).toISOString();
  await payload.db.updateJobs({
    data: { processing: false, updatedAt: new Date(now).toISOString() } as never,
    returning: false,
    where: {
      and: [
        { queue: { in: [DESCRIBE_QUEUE, RUN_QUEUE] } },
        { processing: { equals: true } },
        { updatedAt: { less_than: before } },
      ],
    },
  });
}
