import { expect, test } from "vitest";
import { areHostsHeeded, chunksAtOnce, narrow, slowDown, speedUp } from "../../../worker/jobs/host-pace.ts";
import type { JobState } from "../../../worker/jobs/job-state.ts";
import { CHUNKS_IN_FLIGHT, FRUITLESS_HOST_PAUSES } from "../../../worker/jobs/limits.ts";

const state = (): JobState => ({
  id: "job_1",
  owner: "key",
  createdAt: 0,
  counts: { total: 1, waiting: 1, cached: 0, generated: 0, failed: 0, cancelled: 0 },
  status: "running",
  delivery: "pending",
});

test("each pause leaves a quarter under way, never nothing; each chunk without a pause brings one back", () => {
  const job = state();
  const widths = [1000, 2000, 3000, 4000].map((now) => {
    slowDown(job, now);
    return chunksAtOnce(job);
  });
  expect(widths).toEqual([CHUNKS_IN_FLIGHT / 4, CHUNKS_IN_FLIGHT / 16, 1, 1]);
  speedUp(job);
  expect(chunksAtOnce(job)).toBe(2);
  for (let count = 0; count < 2 * CHUNKS_IN_FLIGHT; count++) speedUp(job);
  expect(chunksAtOnce(job)).toBe(CHUNKS_IN_FLIGHT);
});

test("what was under way when a pause began slows down nothing further", () => {
  const job = state();
  slowDown(job, 1000);
  job.paused = { reason: "url-unreachable", until: 2000 };
  for (let count = 0; count < 50; count++) slowDown(job, 1500);
  expect(chunksAtOnce(job)).toBe(CHUNKS_IN_FLIGHT / 4);
  expect(areHostsHeeded(job)).toBe(true);
});

test("a captioner that is late leaves a quarter as well, and says nothing of hosts", () => {
  const job = state();
  for (let count = 0; count <= FRUITLESS_HOST_PAUSES; count++) narrow(job, count * 1000);
  expect(chunksAtOnce(job)).toBe(1);
  expect(areHostsHeeded(job)).toBe(true);
});

test("hosts that give nothing are no longer heeded after some pauses", () => {
  const job = state();
  for (let count = 1; count <= FRUITLESS_HOST_PAUSES; count++) {
    expect(areHostsHeeded(job)).toBe(true);
    slowDown(job, count * 1000);
  }
  expect(areHostsHeeded(job)).toBe(false);
});
