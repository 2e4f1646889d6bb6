/** Describes the routes in jobs.ts for the OpenAPI document. */

import * as z from "zod/mini";
import { described } from "../../shared/described.ts";
import { Job, JobItem, JobLine, JobRequest, JobResultsQuery } from "../../shared/jobs.ts";
import { MAX_JOB_ITEMS } from "../../shared/limits.ts";
import { CaptionQuery } from "../../shared/schema.ts";
import {
  EXAMPLE_JOB_ID,
  JOB_CANCELLED,
  JOB_DONE,
  JOB_EVENTS_STREAM,
  JOB_LINES,
  JOB_REQUEST,
  JOB_REQUEST_LINES,
  JOB_TABLE,
  NEW_JOB,
} from "../docs/examples.ts";
import { ANSWER_HEADERS, GUARDED, json, named, problems, type RouteDocument } from "../docs/parts.ts";
import {
  END_EVENT_ID,
  IDEMPOTENCY_KEY,
  JOB_EVENTS_PATH,
  JOB_PATH,
  JOB_RESULTS_PATH,
  JOBS_PATH,
} from "./jobs.ts";

const JobSchema = named("Job", Job);
const JobItemSchema = named("JobItem", JobItem);
const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` });
export const JobEventSchema = named(
  "JobEvent",
  z.object({
    event: described(z.enum(["progress", "end"]), "`end` when nothing more will come."),
    data: z.string().register(z.globalRegistry, {
      description: "The `Job`, as one line of JSON.",
      contentMediaType: "application/json",
      contentSchema: reference("Job"),
    }),
    id: described(z.optional(z.literal(END_EVENT_ID)), "Of the last event only."),
  }),
);
/** A string, because generated clients read such an answer as text; its content is the list of events. */
const JobEventsSchema = z.string().register(z.globalRegistry, {
  contentMediaType: "text/event-stream",
  contentSchema: { type: "array", items: reference("JobEvent") },
});
const JobId = z.object({
  id: z.string().register(z.globalRegistry, {
    description: "Id of the job, as its answer named it.",
    examples: [EXAMPLE_JOB_ID],
  }),
});
const FOUND = [...GUARDED, "job-not-found"] as const;

/** `postJob` */
export const postJobRoute = {
  method: "post",
  path: JOBS_PATH.document,
  operationId: "createJob",
  tags: ["Jobs"],
  summary: "Caption up to 10,000 pictures in the background",
  description:
    "JSON, or NDJSON with one item per line and options in the query. A bad item fails alone, in its own line of the results. " +
    "With an `Idempotency-Key`, repeating the request returns the same job until that job is deleted. The key needs the scope `jobs`.",
  requestParams: {
    query: z.extend(CaptionQuery, {
      webhook: described(z.optional(z.string()), "With NDJSON: the address to notify when the job is done."),
    }),
    header: z.object({
      "idempotency-key": described(
        z.optional(z.string().check(z.regex(IDEMPOTENCY_KEY))),
        "1 to 255 visible characters, such as a UUID, for this job and no other.",
      ),
    }),
  },
  requestBody: {
    required: true,
    content: {
      ...json(
        named(
          "JobRequest",
          z.extend(JobRequest, {
            items: z.array(JobItemSchema).check(z.minLength(1), z.maxLength(MAX_JOB_ITEMS)),
          }),
        ),
        JOB_REQUEST,
      ),
      "application/x-ndjson": { schema: JobItemSchema, examples: JOB_REQUEST_LINES },
    },
  },
  responses: {
    202: {
      description: "The job is accepted.",
      headers: {
        Location: {
          description: "The address of the job.",
          required: true,
          schema: { type: "string" },
          example: `/v1/jobs/${EXAMPLE_JOB_ID}`,
        },
        ...ANSWER_HEADERS,
      },
      content: json(JobSchema, NEW_JOB),
    },
    ...problems([
      ...GUARDED,
      "empty-body",
      "bad-request",
      "bad-options",
      "unsupported-language",
      "url-refused",
      "upload-timeout",
      "request-in-progress",
      "too-many-items",
      "image-too-large",
      "unsupported-encoding",
      "idempotency-key-reused",
    ]),
  },
} satisfies RouteDocument;

/** `getJob` */
export const getJobRoute = {
  method: "get",
  path: JOB_PATH.document,
  operationId: "getJob",
  tags: ["Jobs"],
  summary: "Get the progress of a job",
  description: "Only the key that created a job can see it.",
  requestParams: { path: JobId },
  responses: {
    200: { description: "The job.", headers: ANSWER_HEADERS, content: json(JobSchema, JOB_DONE) },
    ...problems(FOUND),
  },
} satisfies RouteDocument;

/** `deleteJob` */
export const deleteJobRoute = {
  method: "delete",
  path: JOB_PATH.document,
  operationId: "cancelJob",
  tags: ["Jobs"],
  summary: "Cancel a job",
  description: "Items that have not begun are cancelled. What is done stays in the results.",
  requestParams: { path: JobId },
  responses: {
    200: { description: "The job.", headers: ANSWER_HEADERS, content: json(JobSchema, JOB_CANCELLED) },
    ...problems(FOUND),
  },
} satisfies RouteDocument;

/** `getJobResults` */
export const getJobResultsRoute = {
  method: "get",
  path: JOB_RESULTS_PATH.document,
  operationId: "getJobResults",
  tags: ["Jobs"],
  summary: "Get the results of a job so far",
  description: "One line for each item that is done, in the order of the request.",
  requestParams: {
    path: JobId,
    query: JobResultsQuery,
  },
  responses: {
    200: {
      description: "The lines.",
      headers: ANSWER_HEADERS,
      content: {
        "application/x-ndjson": { schema: named("JobLine", JobLine), examples: JOB_LINES },
        "text/csv": { schema: z.string(), examples: JOB_TABLE },
      },
    },
    ...problems([...FOUND, "bad-options"]),
  },
} satisfies RouteDocument;

/** `getJobEvents` */
export const getJobEventsRoute = {
  method: "get",
  path: JOB_EVENTS_PATH.document,
  operationId: "followJob",
  tags: ["Jobs"],
  summary: "Follow a job",
  description:
    "Server-sent events with the job in `data`: `progress` at each change, `end` when nothing more will come. An answer that ends without `end` was cut off: ask again.",
  requestParams: {
    path: JobId,
    header: z.object({
      "last-event-id": described(
        z.optional(z.string()),
        "The id of the last event received, as an `EventSource` sends it when it reconnects.",
      ),
    }),
  },
  responses: {
    200: {
      description: "The events, each a `JobEvent`.",
      headers: ANSWER_HEADERS,
      content: { "text/event-stream": { schema: JobEventsSchema, examples: JOB_EVENTS_STREAM } },
    },
    204: {
      description: "The last event was `end`, so an `EventSource` stops reconnecting.",
      headers: ANSWER_HEADERS,
    },
    ...problems(FOUND),
  },
} satisfies RouteDocument;
