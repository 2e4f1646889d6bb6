/**
 * The stored state of a run, which describes many documents in the background on a person's behalf. Its progress is
 * kept in a collection of its own, so that it survives the tab and the process. run-task.ts does the work.
 */

import type { CollectionConfig, CollectionSlug, Payload, TypedUser } from "payload";
import * as z from "zod";
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

/** How a run identifies a person. */
const ownerOf = (user: TypedUser): string => `${user.collection}:${user.id}`;

const counter = (name: string) => ({ name, type: "number", defaultValue: 0, required: true }) as const;

/** Each person sees their own runs; nobody can write them through the API. */
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
  await saveRun(payload, id, { status: "cancelled", finishedAt: new Date().toISOString() });
}

/** Queues the next slice of a run, no sooner than in `waitMs`. */
export async function queueRun(payload: Payload, id: string | number, waitMs = 0): Promise<void> {
  await payload.jobs.queue({
    task: RUN_TASK as never,
    queue: RUN_QUEUE,
    input: { run: String(id) } as never,
    ...(waitMs === 0 ? {} : { waitUntil: new Date(Date.now() + waitMs) }),
  });
}

/** Saves the state of a run. */
export async function saveRun(payload: Payload, id: string | number, data: Partial<Run>): Promise<void> {
  await payload.update({
    collection: RUNS_COLLECTION as CollectionSlug,
    id,
    data: data as never,
    depth: 0,
    overrideAccess: true,
  });
}

/** A run with what remains to be done; undefined if it was deleted. */
export async function loadRun(payload: Payload, id: string | number): Promise<Run | undefined> {
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

/** The person who owns the run; undefined if they are gone. */
export async function loadOwner(payload: Payload, owner: string): Promise<TypedUser | undefined> {
  const [collection = "", ...rest] = owner.split(":");
  const user = await payload
    .findByID({
      collection: collection as CollectionSlug,
      id: rest.join(":"),
      // As deep as Payload reads a user at login, because access functions may ask what the person belongs to.
      depth: payload.collections[collection as CollectionSlug]?.config.auth.depth ?? 0,
      disableErrors: true,
      overrideAccess: true,
    })
    .catch(() => null);
  return user === null ? undefined : ({ ...user, collection } as TypedUser);
}
