/** The messages of `/v1/jobs`, one zod schema each. Pure data, like schema.ts. */

import * as z from "zod/mini";
import { described } from "./described.ts";
import {
  MAX_JOB_ITEM_ID_CHARACTERS,
  MAX_JOB_ITEMS,
  MAX_JOB_METADATA_CHARACTERS,
  MAX_WEBHOOK_CHARACTERS,
} from "./limits.ts";
import { PROBLEM_CODES, Problem } from "./problem.ts";
import { atMost, BatchCaption, BatchError, BatchHit, BatchItem, CaptionQuery, WebAddress } from "./schema.ts";

const Id = z.string().check(
  z.maxLength(MAX_JOB_ITEM_ID_CHARACTERS),
  // UTF-8 cannot hold these, so another name would be stored.
  z.refine((id) => !/\p{Surrogate}/u.test(id), {
    error: "expected whole characters, got half of a surrogate pair",
  }),
);

/** One picture of a job: a reference to it, never the picture. */
export const JobItem = z
  .strictObject({
    url: BatchItem.shape.url,
    sha256: BatchItem.shape.sha256,
    id: described(z.optional(Id), "The caller's name for the item; returned with its line."),
    metadata: described(
      z.optional(
        z
          .unknown()
          .check(
            z.refine(
              (value) => value === undefined || JSON.stringify(value).length <= MAX_JOB_METADATA_CHARACTERS,
              { error: `expected at most ${MAX_JOB_METADATA_CHARACTERS} characters of JSON` },
            ),
          ),
      ),
      "Any JSON; returned with the item's line. Send numbers past 9007199254740991 as text.",
    ),
  })
  .check(
    z.refine(({ url, sha256 }) => (url === undefined) !== (sha256 === undefined), {
      error: "expected exactly one of url and sha256",
    }),
  );
export type JobItem = z.infer<typeof JobItem>;

/** The events that a webhook may receive. */
const JOB_EVENTS = ["caption.job.completed", "caption.job.chunk"] as const;
export type JobEvent = (typeof JOB_EVENTS)[number];

const WebhookUrl = WebAddress.check(atMost(MAX_WEBHOOK_CHARACTERS));

/** Where to announce that a job is done: an address, or an address with the events that are wanted. */
export const JobWebhook = z.union([
  z.pipe(
    WebhookUrl,
    z.transform((url: string) => ({ url, events: ["caption.job.completed"] as JobEvent[] })),
  ),
  z.strictObject({
    url: WebhookUrl,
    events: z._default(z.array(z.enum(JOB_EVENTS)).check(z.minLength(1)), ["caption.job.completed"]),
  }),
]);
export type JobWebhook = z.infer<typeof JobWebhook>;

/** `POST /v1/jobs` in its JSON form. Items are judged one by one, so that a bad one fails alone. */
export const JobRequest = z.extend(CaptionQuery, {
  items: z.array(z.unknown()),
  webhook: z.optional(JobWebhook),
});
export type JobRequest = z.infer<typeof JobRequest>;

/** Options of a job as its query gives them, if the body is NDJSON. */
export const JobQuery = z.extend(CaptionQuery, { webhook: z.optional(WebhookUrl) });

/** Query of `GET /v1/jobs/{id}/results`. */
export const JobResultsQuery = z.strictObject({
  format: described(
    z.optional(z.enum(["ndjson", "csv"])),
    "NDJSON, or CSV for spreadsheets, which keeps text as text whatever it begins with.",
  ),
});

const JOB_STATUSES = ["queued", "running", "completed", "cancelled", "failed"] as const;

const count = () => z.int().check(z.gte(0));
const time = () => z.iso.datetime();

/** How far a job has got. */
export const Job = z.object({
  id: z.string(),
  status: described(
    z.enum(JOB_STATUSES),
    "A job with some failed items is `completed`. `failed` means that it could not go on; `problem` says why.",
  ),
  counts: z.object({
    total: count().check(z.lte(MAX_JOB_ITEMS)),
    waiting: described(count(), "Not done yet, including those in progress."),
    cached: count(),
    generated: count(),
    failed: count(),
    cancelled: count(),
  }),
  created_at: time(),
  finished_at: z.nullable(time()),
  expires_at: described(
    time(),
    "When the job and its results are deleted: seven days after its end. Before its end, the latest possible time.",
  ),
  seconds_left: described(
    z.nullable(z.number()),
    "Estimate from the pace so far, including a pause; null before there is an estimate and after the end.",
  ),
  paused: described(
    z.nullable(z.object({ reason: z.enum(PROBLEM_CODES), until: time() })),
    "Why the job pauses, and until when: the quota is used up, the captioner is busy or away, or a host of pictures asks for a pause (`url-unreachable`).",
  ),
  problem: described(z.nullable(Problem), "Why the job failed."),
  webhook: z.nullable(
    z.object({
      url: z.string(),
      delivery: described(
        z.enum(["pending", "delivered", "undelivered"]),
        "`delivered` once all requested events were accepted; `undelivered` once one was given up, after a day of attempts.",
      ),
      last_failure: described(
        z.optional(z.string()),
        "Why the latest failed attempt failed; absent while none has, and once everything was accepted.",
      ),
      secret: described(
        z.optional(z.string()),
        "Signs the deliveries, as in Standard Webhooks. Shown in the answer to the request that created the job, and again if that request is repeated with its `Idempotency-Key`.",
      ),
    }),
  ),
});
export type Job = z.infer<typeof Job>;

/** A job asks again by itself. */
export const JobError = z.omit(BatchError, { retry_after: true });

/** A line of a job's results: a line of a batch, with the item's `id`. */
export const JobLine = z.discriminatedUnion("status", [
  z.extend(BatchHit, { id: z.optional(Id) }),
  z.extend(BatchCaption, { id: z.optional(Id) }),
  z.extend(JobError, { id: z.optional(Id) }),
]);
export type JobLine = z.infer<typeof JobLine>;

/** Whether nothing more will be done. */
export function isFinished({ finished_at }: Pick<Job, "finished_at">): boolean {
  return finished_at !== null;
}
