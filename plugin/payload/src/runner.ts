/**
 * Runs the plugin's queues in this process when it is this process's turn. Payload's own runner sometimes hands one
 * job to two processes that ask at the same moment; the second then leaves a Postgres connection in a failed
 * transaction.
 */

import { Cron } from "croner";
import type { Payload } from "payload";
import { JOBS_PER_TICK } from "./limits.ts";
import { DESCRIBE_QUEUE, RUN_QUEUE } from "./names.ts";
import { recoverDeadJobs } from "./recover.ts";
import { createTurns } from "./turns.ts";

/** Begins, and continues until Payload stops its crons. */
export function startRunner(payload: Payload, pattern: string): void {
  const isOurTurn = createTurns(payload);
  const onError = (error: unknown) =>
    payload.logger.error({ err: error, msg: "altText: the plugin's queues could not be run" });
  for (const queue of [DESCRIBE_QUEUE, RUN_QUEUE]) {
    const cron = new Cron(pattern, { protect: true, catch: onError }, async () => {
      const { shouldAutoRun } = payload.config.jobs;
      if (shouldAutoRun !== undefined && !(await shouldAutoRun(payload))) return;
      if (!(await isOurTurn())) return;
      await recoverDeadJobs(payload);
      await payload.jobs.run({ queue, limit: JOBS_PER_TICK, silent: true });
    });
    payload.crons.push(cron);
  }
}
