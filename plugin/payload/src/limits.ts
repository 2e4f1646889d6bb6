/** All of the plugin's numbers, with the unit in each name. */

/** Longer than the embedded model takes on two cores, but shorter than an editor's patience. */
export const DEFAULT_INLINE_TIMEOUT_MS = 2000;
/** Longest wait for a description outside of a request. */
export const JOB_TIMEOUT_MS = 30_000;
/** How long uploads stop waiting for the captioner after it was away or slow. */
export const INLINE_PAUSE_MS = 30_000;

export const DEFAULT_RUNNER_CRON = "*/5 * * * * *";
/** Jobs per tick, which run side by side. */
export const JOBS_PER_TICK = 8;

/** Waits between attempts for one picture, a little more than a day in all; then it counts as failed. */
export const RETRY_DELAYS_MS: readonly number[] = [
  5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 3_600_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000,
  28_800_000,
];
/** Waits of a run over many pictures while the captioner is away; then the run ends as failed. */
export const RUN_STALL_DELAYS_MS: readonly number[] = [
  2_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000,
];
/** The longest `Retry-After` that is honoured: a daily quota is renewed within a day. */
export const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/**
 * How long a process owns the plugin's queues before it must claim them again. Another process takes over from one
 * that died.
 */
export const TURN_MS = 30_000;
/** A job that has been running for longer has died with its process. None of our jobs takes this long. */
export const DEAD_JOB_MS = 5 * 60_000;

/** A run hands over to the next job after this time, so that it fits serverless time limits and a crash costs little. */
export const RUN_SLICE_MS = 20_000;
/** Pictures of a run that are described side by side. */
export const RUN_WIDTH = 4;
/** From this many pictures on, the backfill uses the API's jobs; fewer are done sooner one by one. */
export const BACKFILL_JOB_FROM = 50;
/** Pictures per job of the backfill; the API takes 10,000. The texts are written when all of them are there. */
export const BACKFILL_JOB_PICTURES = 1000;
/** Most documents of a run. */
export const MAX_RUN_DOCUMENTS = 50_000;
/** Most ids in one database query: SQLite takes 32,766 values, https://sqlite.org/limits.html#max_variable_number. */
export const MAX_IDS_A_QUESTION = 10_000;
/** How many failures a run remembers with their reasons. */
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
/** The range that the API accepts as `max_length`. */
export const ALT_CHARACTERS = { min: 20, max: 500, usual: 125 } as const;
