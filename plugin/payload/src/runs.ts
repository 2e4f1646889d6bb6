/**
 * A run describes many documents in the background, on behalf of a person. Its progress lies in a collection of its own,
 * so that it survives the tab and the process. The bookkeeping here is the system's; documents are read and written with
 * that person's rights.
 */

import type { CollectionConfig, CollectionSlug, Payload, TaskConfig, TypedUser } from "payload";
import * as z from "zod";
import { describeDocument, type Outcome } from "./describe.ts";
import { MAX_RUN_REASONS, RUN_SLICE_MS, RUN_STALL_DELAYS_MS, RUN_WIDTH } from "./limits.ts";
import { RUN_QUEUE, RUN_STATUSES, RUN_TASK, RUNS_COLLECTION } from "./names.ts";

const Reason = z.object({ id: z.union([z.string(), z.number()]), reason: z.string() });

export const Run = z.object({
  id: z.union([z.string(), z.number()]),
  target: z.string(),
  owner: z.string(),
  status: z.enum(RUN_STATUSES),
  total: z.number(),
  generated: z.number(),
  cached: z.number(),
  skipped: z.number(),
  failed: z.number(),
  stalls: z.number(),
  message: z.string().nullish(),
  reasons: z
    .array(Reason)
    .nullish()
    .transform((reasons) => reasons ?? []),
  remaining: z
    .array(z.union([z.string(), z.number()]))
    .nullish()
    .transform((ids) => ids ?? []),
  createdAt: z.string(),
  finishedAt: z.string().nullish(),
});
export type Run = z.infer<typeof Run>;

export const ownerOf = (user: TypedUser): string => `${user.collection}:${user.id}`;

const counter = (name: string) => ({ name, type: "number", defaultValue: 0, required: true }) as const;

/** Each person sees their own runs; nobody writes them through the API. */
export const runsCollection: CollectionConfig = {
  slug: RUNS_COLLECTION,
  labels: { singular: "Alt text run", plural: "Alt text runs" },
  access: {
    read: ({ req }) => (req.user ? { owner: { equals: ownerOf(req.user) } } : false),
    create: () => false,
    update: () => false,
    delete: () => false,
  },
  admin: { hidden: true },
  lockDocuments: false,
  fields: [
    { name: "target", type: "text", required: true, index: true },
    { name: "owner", type: "text", required: true, index: true },
    { name: "status", type: "select", required: true, options: [...RUN_STATUSES], index: true },
    counter("total"),
    counter("generated"),
    counter("cached"),
    counter("skipped"),
    counter("failed"),
    counter("stalls"),
    { name: "message", type: "text" },
    { name: "reasons", type: "json" },
    { name: "remaining", type: "json", hidden: true },
    { name: "finishedAt", type: "date" },
  ],
};

/** Starts a run over these documents. */
export async function startRun(
  payload: Payload,
  { target, user, ids }: { target: string; user: TypedUser; ids: readonly (string | number)[] },
): Promise<Run> {
  const created = await payload.create({
    collection: RUNS_COLLECTION as CollectionSlug,
    data: {
      target,
      owner: ownerOf(user),
      status: "running",
      total: ids.length,
      remaining: ids,
      reasons: [],
    } as never,
    overrideAccess: true,
  });
  const run = Run.parse({ ...created, remaining: [] });
  await queueRun(payload, run.id);
  return run;
}

/** Ends a run before its next pictures. */
export async function cancelRun(payload: Payload, id: string | number): Promise<void> {
  await save(payload, id, { status: "cancelled", finishedAt: new Date().toISOString() });
}

async function queueRun(payload: Payload, id: string | number, waitMs = 0): Promise<void> {
  await payload.jobs.queue({
    task: RUN_TASK as never,
    queue: RUN_QUEUE,
    input: { run: String(id) } as never,
    ...(waitMs === 0 ? {} : { waitUntil: new Date(Date.now() + waitMs) }),
  });
}

async function save(payload: Payload, id: string | number, data: Partial<Run>): Promise<void> {
  await payload.update({
    collection: RUNS_COLLECTION as CollectionSlug,
    id,
    data: data as never,
    depth: 0,
    overrideAccess: true,
  });
}

async function load(payload: Payload, id: string | number): Promise<Run | undefined> {
  const found = await payload.findByID({
    collection: RUNS_COLLECTION as CollectionSlug,
    id,
    depth: 0,
    disableErrors: true,
    showHiddenFields: true,
    overrideAccess: true,
  });
  return found === null ? undefined : Run.parse(found);
}

async function loadOwner(payload: Payload, owner: string): Promise<TypedUser | undefined> {
  const [collection = "", ...rest] = owner.split(":");
  const user = await payload
    .findByID({
      collection: collection as CollectionSlug,
      id: rest.join(":"),
      // As Payload reads who logs in: access functions may ask what the person belongs to.
      depth: payload.collections[collection as CollectionSlug]?.config.auth.depth ?? 0,
      disableErrors: true,
      overrideAccess: true,
    })
    .catch(() => null);
  return user === null ? undefined : ({ ...user, collection } as TypedUser);
}

const Input = z.object({ run: z.string() });

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

/** Works on a run for one slice of time, then hands over to a next job. */
export async function continueRun(
  payload: Payload,
  id: string | number,
  sliceMs = RUN_SLICE_MS,
): Promise<void> {
  const endsAt = Date.now() + sliceMs;
  let run = await load(payload, id);
  if (run === undefined || run.status !== "running") return;
  const user = await loadOwner(payload, run.owner);
  if (user === undefined) {
    await finish(payload, run, { status: "failed", message: "The person who started it is gone." });
    return;
  }
  while (run.remaining.length > 0) {
    const ids: readonly (string | number)[] = run.remaining.slice(0, RUN_WIDTH);
    const target = run.target;
    const outcomes = await Promise.all(
      ids.map((document) =>
        describeDocument(payload, { collection: target, id: document, user }).catch(
          (error: unknown): Outcome => {
            payload.logger.error({
              err: error,
              msg: `altText: ${target} ${document} could not be described`,
            });
            return { kind: "failed", reason: "The site could not save it; its log says why." };
          },
        ),
      ),
    );
    const now = await load(payload, id);
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
      await save(payload, id, progress);
      return;
    }
    if (stopped !== undefined) {
      const delayMs = stopped.isPassing ? RUN_STALL_DELAYS_MS[run.stalls] : undefined;
      if (delayMs === undefined) {
        await finish(payload, run, { ...progress, status: "failed", message: stopped.reason });
        return;
      }
      await save(payload, id, {
        ...progress,
        stalls: run.stalls + 1,
        message: `${stopped.reason} It is asked again.`,
      });
      await queueRun(payload, id, Math.max(delayMs, stopped.retryAfterMs ?? 0));
      return;
    }
    run = { ...run, stalls: 0 };
    await save(payload, id, { ...progress, stalls: 0, message: null });
    if (run.remaining.length > 0 && Date.now() >= endsAt) {
      await queueRun(payload, id);
      return;
    }
  }
  await finish(payload, run, { status: "completed", message: null });
}

async function finish(payload: Payload, run: Run, data: Partial<Run>): Promise<void> {
  await save(payload, run.id, { ...data, finishedAt: new Date().toISOString() });
}

interface Stopped {
  readonly reason: string;
  readonly isPassing: boolean;
  readonly retryAfterMs?: number | undefined;
}

/** The run with these outcomes counted; what met a failure of the service itself stays to be done. */
function count(
  run: Run,
  ids: readonly (string | number)[],
  outcomes: readonly Outcome[],
): { readonly run: Run; readonly stopped: Stopped | undefined } {
  const next = { ...run, reasons: [...run.reasons] };
  const again: (string | number)[] = [];
  let stopped: Stopped | undefined;
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
