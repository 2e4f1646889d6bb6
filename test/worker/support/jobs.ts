/** Jobs of the edge under test: made through its routes, worked off by its own consumer from the platform's own queue. */

import { vi } from "vitest";
import { Job, JobLine } from "../../../shared/jobs.ts";
import type { Edge } from "./edge.ts";

export const ndjson = (items: readonly unknown[]): string =>
  items.map((item) => `${JSON.stringify(item)}\n`).join("");

export async function postJob(
  edge: Edge,
  body: string | object,
  init: RequestInit & { query?: string } = {},
) {
  const { query = "", headers, ...rest } = init;
  const type = typeof body === "string" ? "application/x-ndjson" : "application/json";
  return edge.fetch(`/v1/jobs${query}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": type, ...headers },
    ...rest,
  });
}

export const jobOf = async (response: Response): Promise<Job> => Job.parse(await response.json());

/** The job once nothing more will be done. */
export async function ended(edge: Edge, id: string, headers: Record<string, string> = {}): Promise<Job> {
  return vi.waitFor(
    async () => {
      const job = await jobOf(await edge.fetch(`/v1/jobs/${id}`, { headers }));
      if (job.finished_at === null) throw new Error(`still ${job.status}: ${JSON.stringify(job.counts)}`);
      return job;
    },
    { timeout: 25_000, interval: 50 },
  );
}

export async function linesOf(
  edge: Edge,
  id: string,
  headers: Record<string, string> = {},
): Promise<JobLine[]> {
  const response = await edge.fetch(`/v1/jobs/${id}/results`, { headers });
  const text = await response.text();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JobLine.parse(JSON.parse(line)));
}
