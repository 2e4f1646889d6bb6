/** Jobs of the edge under test: made through its routes, worked off by its own consumer from the platform's own queue. */

import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { apiKeyStorageKey, createApiKey } from "../../../shared/api-key.ts";
import { Job, JobLine } from "../../../shared/jobs.ts";
import type { FakeNetwork } from "./backends.ts";
import { type Edge, startEdge } from "./edge.ts";
import { newPicture } from "./pictures.ts";

/** The captioner of wrangler.toml, which the queue's consumer asks. */
const CAPTIONER = "http://127.0.0.1:8788";
export const CAPTIONER_HOST = new URL(CAPTIONER).host;

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

/** How long something is waited for that comes by the queue: only what hangs takes as long. */
export const PATIENCE_MS = 100_000;

/** The job once nothing more will be done. */
export async function ended(edge: Edge, id: string, timeout = PATIENCE_MS): Promise<Job> {
  return vi.waitFor(
    async () => {
      const job = await jobOf(await edge.fetch(`/v1/jobs/${id}`));
      if (job.finished_at === null) throw new Error(`still ${job.status}: ${JSON.stringify(job.counts)}`);
      return job;
    },
    { timeout, interval: 50 },
  );
}

export async function linesOf(edge: Edge, id: string): Promise<JobLine[]> {
  const response = await edge.fetch(`/v1/jobs/${id}/results`);
  const text = await response.text();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JobLine.parse(JSON.parse(line)));
}

/** An edge that takes keys, as the queue's own environment does, with a new key on every request. */
export async function startKeyedEdge(
  options: {
    readonly dailyQuota?: number;
    readonly variables?: Record<string, string>;
    readonly bindings?: Record<string, unknown>;
  } = {},
): Promise<Edge & { readonly keyId: string }> {
  const { key, record } = await createApiKey({
    name: "jobs",
    scopes: ["caption", "read", "jobs"],
    daily_quota: options.dailyQuota ?? 100_000,
    now: new Date(),
  });
  await env.KEYS.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  const edge = startEdge({
    ACCESS: "keys",
    BACKEND_URLS: CAPTIONER,
    ...options.variables,
    ...options.bindings,
  });
  const withKey = (init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    if (!headers.has("authorization")) headers.set("authorization", `Bearer ${key}`);
    return { ...init, headers };
  };
  return {
    keyId: record.id,
    fetch: (path, init) => edge.fetch(path, withKey(init)),
    fetchOnly: (path, init) => edge.fetchOnly(path, withKey(init)),
  };
}

/** Addresses of new pictures, served from now on. */
export function servePictures(network: FakeNetwork, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const url = `https://media.example.com/${crypto.randomUUID()}/${i}.png`;
    const picture = newPicture();
    network.pages.set(url, () => new Response(picture));
    return url;
  });
}
