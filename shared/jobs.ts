/** The messages of `/v1/jobs`, one zod schema each. Pure data, as schema.ts. */

import * as z from "zod";
import { MAX_JOB_ITEM_ID_CHARACTERS, MAX_JOB_ITEMS, MAX_JOB_METADATA_CHARACTERS } from "./limits.ts";
import { PROBLEM_CODES, Problem } from "./problem.ts";
import { BatchItem, BatchLine, CaptionQuery, WebAddress } from "./schema.ts";

const Id = z.string().max(MAX_JOB_ITEM_ID_CHARACTERS);

/** One picture of a job: a reference to it, never the picture. */
export const JobItem = z
  .strictObject({
    url: BatchItem.shape.url,
    sha256: BatchItem.shape.sha256,
    id: Id.optional().meta({ description: "The caller's name for the item; comes back with its line." }),
    metadata: z
      .unknown()
      .refine((value) => value === undefined || JSON.stringify(value).length <= MAX_JOB_METADATA_CHARACTERS, {
        error: `expected at most ${MAX_JOB_METADATA_CHARACTERS} characters of JSON`,
      })
      .optional()
      .meta({ description: "Any JSON; comes back with the item's line." }),
  })
  .refine(({ url, sha256 }) => (url === undefined) !== (sha256 === undefined), {
    error: "expected exactly one of url and sha256",
  });
export type JobItem = z.infer<typeof JobItem>;

/** What a webhook may be told. */
export const JOB_EVENTS = ["caption.job.completed", "caption.job.chunk"] as const;
export type JobEvent = (typeof JOB_EVENTS)[number];

const WebhookUrl = WebAddress.max(2_048);

/** Where to say that a job is done: an address, or one with the events that are wanted. */
export const JobWebhook = z.union([
  WebhookUrl.transform((url) => ({ url, events: ["caption.job.completed"] as JobEvent[] })),
  z.strictObject({
    url: WebhookUrl,
    events: z.array(z.enum(JOB_EVENTS)).min(1).default(["caption.job.completed"]),
  }),
]);
export type JobWebhook = z.infer<typeof JobWebhook>;

/** `POST /v1/jobs` in its JSON form. Items are judged one by one, so that a bad one fails alone. */
export const JobRequest = CaptionQuery.extend({
  items: z.array(z.unknown()),
  webhook: JobWebhook.optional(),
}).strict();
export type JobRequest = z.infer<typeof JobRequest>;

/** Options of a job as its query gives them, beside NDJSON. */
export const JobQuery = CaptionQuery.extend({ webhook: WebhookUrl.optional() });

export const JOB_STATUSES = ["queued", "running", "completed", "cancelled", "failed"] as const;

const count = z.number().int().min(0);
const time = z.iso.datetime();

/** How far a job is. */
export const Job = z.object({
  id: z.string(),
  status: z.enum(JOB_STATUSES).meta({
    description:
      "A job of which some items failed is completed. Failed: it could not go on; `problem` says why.",
  }),
  counts: z.object({
    total: count.max(MAX_JOB_ITEMS),
    waiting: count.meta({ description: "Not done yet, those under way included." }),
    cached: count,
    generated: count,
    failed: count,
    cancelled: count,
  }),
  created_at: time,
  finished_at: time.nullable(),
  expires_at: time.meta({
    description:
      "When the job and its results are deleted: seven days after its end; until then, at the latest.",
  }),
  seconds_left: z.number().nullable().meta({
    description: "Estimate from the pace so far; null before there is one and after the end.",
  }),
  paused: z
    .object({ reason: z.enum(PROBLEM_CODES), until: time })
    .nullable()
    .meta({
      description:
        "Why nothing is done just now, and until when: the quota is used up, the captioner is busy or away.",
    }),
  problem: Problem.nullable().meta({ description: "Why the job failed." }),
  webhook: z
    .object({
      url: z.string(),
      delivery: z.enum(["pending", "delivered", "undelivered"]).meta({
        description: "Of `caption.job.completed`; undelivered after a day of tries.",
      }),
      secret: z.string().optional().meta({
        description: "Signs what is sent, by Standard Webhooks. Shown once, in the answer that made the job.",
      }),
    })
    .nullable(),
});
export type Job = z.infer<typeof Job>;

/** A line of a job's results: that of a batch, with the item's `id`. */
export const JobLine = z.discriminatedUnion("status", [
  BatchLine.options[0].extend({ id: Id.optional() }),
  BatchLine.options[1].extend({ id: Id.optional() }),
  BatchLine.options[2].extend({ id: Id.optional() }),
]);
export type JobLine = z.infer<typeof JobLine>;

/** Whether nothing more will be done. */
export function isFinished({ finished_at }: Pick<Job, "finished_at">): boolean {
  return finished_at !== null;
}
