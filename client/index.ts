/** What users of the client import. */

export type { Job, JobItem, JobLine, JobWebhook } from "../shared/jobs.ts";
export type { Problem } from "../shared/problem.ts";
export type { BatchItem, BatchLine, Caption, CaptionQuery } from "../shared/schema.ts";
export {
  type CallOptions,
  type CaptionClient,
  type ClientBatchLine,
  type ClientOptions,
  createCaptionClient,
} from "./client.ts";
export { CaptionApiError, CaptionTransportError } from "./errors.ts";
export type { ClientJob, ClientJobLine, CreateJobOptions, JobsClient } from "./jobs.ts";
