/** Puts back the plugin's jobs whose process died, because they would stay marked as running for ever. */

import type { Payload } from "payload";
import { DEAD_JOB_MS } from "./limits.ts";
import { DESCRIBE_QUEUE, RUN_QUEUE } from "./names.ts";

/** Puts back the plugin's jobs that have been running longer than any of them can take. */
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
