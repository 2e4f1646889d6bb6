import type { Job } from "../../shared/jobs.ts";

/** A job of two pictures as the API tells of it, one of them done. */
export const jobWith = (change: Partial<Job> = {}): Job => ({
  id: "job_0",
  status: "running",
  counts: { total: 2, waiting: 1, cached: 0, generated: 1, failed: 0, cancelled: 0 },
  created_at: "2026-01-01T00:00:00.000Z",
  finished_at: null,
  expires_at: "2026-01-08T00:00:00.000Z",
  seconds_left: null,
  paused: null,
  problem: null,
  webhook: null,
  ...change,
});
