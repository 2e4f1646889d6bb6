import { expect, test } from "vitest";
import { createJobsClient } from "../../client/jobs.ts";
import { jobWith } from "../support/job.ts";

test("a job is followed to its very end, although a cancelled one already looks done before", async () => {
  const cancelled = {
    status: "cancelled",
    counts: { total: 2, waiting: 0, cached: 0, generated: 1, failed: 0, cancelled: 1 },
  } as const;
  const finished_at = "2026-01-01T00:01:00.000Z";
  const news = [jobWith(), jobWith(), jobWith(cancelled), jobWith({ ...cancelled, finished_at })];
  const jobs = createJobsClient({
    send: async () => Response.json(news.shift()),
    wait: async () => {},
  });
  const told = [];
  for await (const { status, finished_at } of jobs.follow("job_0")) told.push([status, finished_at]);
  expect(told).toEqual([
    ["running", null],
    ["cancelled", null],
    ["cancelled", finished_at],
  ]);
});
