/** Every number of the plugin, with its unit in its name. */

/** Longer than the embedded model takes on two cores, shorter than an editor's patience. */
export const DEFAULT_INLINE_TIMEOUT_MS = 2000;
/** Longest wait for a description outside of a request. */
export const JOB_TIMEOUT_MS = 30_000;
/** After a captioner that was away or slow, uploads don't wait for it again so long. */
export const INLINE_PAUSE_MS = 30_000;

export const DEFAULT_RUNNER_CRON = "*/5 * * * * *";
/** Jobs of one tick, which run side by side. */
export const JOBS_PER_TICK = 8;

/** Waits between tries of one picture, a little more than a day in all; then it counts as failed. */
export const RETRY_DELAYS_MS: readonly number[] = [
  5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 3_600_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000,
  28_800_000,
];
/** Waits of a run over many pictures while the captioner is away; then the run ends as failed. */
export const RUN_STALL_DELAYS_MS: readonly number[] = [
  2_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000,
];
/** A `Retry-After` is honoured up to here: a daily quota comes back within a day. */
export const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/** How long a process has the plugin's queues before it has to take them again; another one takes over from one that died. */
export const TURN_MS = 30_000;
/** A job that has been running for longer died with its process. Longer than any job of ours takes. */
export const DEAD_JOB_MS = 5 * 60_000;

/** A run hands over to a next job after so long, so that it fits serverless time limits and a crash costs little. */
export const RUN_SLICE_MS = 20_000;
/** Pictures of a run that are described side by side. */
export const RUN_WIDTH = 4;
/** From so many pictures on, the backfill asks through the API's jobs: fewer are asked for one by one sooner. */
export const BACKFILL_JOB_FROM = 50;
/** Pictures of one job of the backfill; the API takes 10,000. Their texts are written when all of them are there. */
export const BACKFILL_JOB_PICTURES = 1000;
/** Documents of one run. */
export const MAX_RUN_DOCUMENTS = 50_000;
/** Ids in one question to the database: SQLite takes 32,766 values, https://sqlite.org/limits.html#max_variable_number. */
export const MAX_IDS_A_QUESTION = 10_000;
/** Failures that a run remembers with their reasons. */
export const MAX_RUN_REASONS = 100;

/** The caption API's own limits: shared/limits.ts and shared/picture-format.ts of the service. */
export const MAX_PICTURE_BYTES = 20 * 1024 * 1024;
export const MAX_PICTURE_PIXELS = 100_000_000;
export const CAPTIONED_MIME_TYPES: ReadonlySet<string> = new Set([
  "image/jpeg",
  "image/png",
  "image/webp",
  "image/avif",
  "image/gif",
  "image/tiff",
]);
/** What the API accepts as `max_length`. */
export const ALT_CHARACTERS = { min: 20, max: 500, usual: 125 } as const;
