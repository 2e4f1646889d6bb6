/**
 * Works on a run, one slice of time per job. The bookkeeping has the system's rights; documents are read and
 * written with the rights of the person who started the run.
 */

import type { Payload, TaskConfig } from "payload";
import * as z from "zod";
import { describeDocument, type Outcome, outcomeOf } from "./describe.ts";
import type { Failure } from "./failure.ts";
import { MAX_RUN_REASONS, RUN_SLICE_MS, RUN_STALL_DELAYS_MS, RUN_WIDTH } from "./limits.ts";
import { RUN_TASK } from "./names.ts";
import { loadOwner, loadRun, queueRun, type Run, saveRun } from "./runs.ts";

const Input = z.object({ run: z.string() });

/** The job of one slice. */
export const runTask: TaskConfig<{ input: z.infer<typeof Input>; output: object }> = {
  slug: RUN_TASK,
  retries: { attempts: 2, backoff: { type: "exponential", delay: 1000 } },
  inputSchema: [{ name: "run", type: "text", required: true }],
  handler: async ({ input, req: { payload } }) => {
    const { run } = Input.parse(input);
    await continueRun(payload, payload.db.defaultIDType === "number" ? Number(run) : run);
    return { output: {} };
  },
};

/** Works on a run for one slice of time, then hands over to the next job. */
async function continueRun(payload: Payload, id: string | number): Promise<void> {
  const endsAt = Date.now() + RUN_SLICE_MS;
  let run = await loadRun(payload, id);
  if (run === undefined || run.status !== "running") return;
  const user = await loadOwner(payload, run.owner);
  if (user === undefined) {
    await finish(payload, run, { status: "failed", message: "The user who started it no longer exists." });
    return;
  }
  const collection = run.target;
  while (run.remaining.length > 0) {
    const ids: readonly (string | number)[] = run.remaining.slice(0, RUN_WIDTH);
    const outcomes = await Promise.all(
      ids.map((document) => {
        const target = { collection, id: document, user };
        return outcomeOf(payload, target, describeDocument(payload, target));
      }),
    );
    const now = await loadRun(payload, id);
    if (now === undefined) return;
    const { run: counted, stopped } = count(run, ids, outcomes);
    run = counted;
    const progress = {
      generated: run.generated,
      cached: run.cached,
      skipped: run.skipped,
      failed: run.failed,
      reasons: run.reasons,
      remaining: run.remaining,
    };
    if (now.status !== "running") {
      await saveRun(payload, id, progress);
      return;
    }
    if (stopped !== undefined) {
      const delayMs = stopped.isPassing ? RUN_STALL_DELAYS_MS[run.stalls] : undefined;
      if (delayMs === undefined) {
        await finish(payload, run, { ...progress, status: "failed", message: stopped.reason });
        return;
      }
      await saveRun(payload, id, {
        ...progress,
        stalls: run.stalls + 1,
        message: `${stopped.reason} It will be asked again.`,
      });
      await queueRun(payload, id, Math.max(delayMs, stopped.retryAfterMs ?? 0));
      return;
    }
    run = { ...run, stalls: 0 };
    await saveRun(payload, id, { ...progress, stalls: 0, message: null });
    if (run.remaining.length > 0 && Date.now() >= endsAt) {
      await queueRun(payload, id);
      return;
    }
  }
  await finish(payload, run, { status: "completed", message: null });
}

async function finish(payload: Payload, run: Run, data: Partial<Run>): Promise<void> {
  await saveRun(payload, run.id, { ...data, finishedAt: new Date().toISOString() });
}

/** The run with these outcomes counted; documents that met a failure of the service stay to be done. */
function count(
  run: Run,
  ids: readonly (string | number)[],
  outcomes: readonly Outcome[],
): { readonly run: Run; readonly stopped: Failure | undefined } {
  const next = { ...run, reasons: [...run.reasons] };
  const again: (string | number)[] = [];
  let stopped: Failure | undefined;
  outcomes.forEach((outcome, index) => {
    const id = ids[index] as string | number;
    if (outcome.kind === "failed" && outcome.failure?.concerns === "service") {
      stopped = outcome.failure;
      again.push(id);
      return;
    }
    next[outcome.kind] += 1;
    if (outcome.kind === "failed" && next.reasons.length < MAX_RUN_REASONS) {
      next.reasons.push({ id, reason: outcome.reason });
    }
  });
  next.remaining = [...again, ...run.remaining.slice(ids.length)];
  return { run: next, stopped };
}
