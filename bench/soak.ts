/**
 * Checks that the backend does not degrade: its memory over many requests, good and bad, from more clients than
 * there are permits, and how fast those without a permit are refused.
 */

import * as z from "zod";
import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../backend/model/embedded.ts";
import { distinct, photograph, startBackend } from "./backend-process.ts";
import { runLoad } from "./load.ts";
import { bundleFolder } from "./options.ts";
import { percentile, type Report } from "./report.ts";

const PICTURES = 64;
/** One in this many requests is a damaged picture. */
const DAMAGED_EVERY = 10;
const SAMPLES = 20;
const BACK_OFF_MS = 250;

export const Options = z.object({
  bundle: bundleFolder,
  requests: z.coerce
    .number()
    .int()
    .positive()
    .default(20_000)
    .describe("Answers wanted, refusals for lack of a permit not counted."),
  clients: z.coerce.number().int().positive().default(48).describe("Requests at once."),
  permits: z.coerce
    .number()
    .int()
    .positive()
    .default(32)
    .describe("Requests that the backend lets in at once."),
});

export async function run({ bundle, requests, clients, permits }: z.infer<typeof Options>): Promise<Report> {
  if (bundle === undefined) await openEmbeddedBundle();
  const files = await Promise.all(Array.from({ length: PICTURES }, (_, seed) => photograph(seed)));
  const server = await startBackend({
    BUNDLE: bundle ?? EMBEDDED_BUNDLE,
    MAX_REQUESTS: String(permits),
    LOG_LEVEL: "info",
  });
  const statuses: Record<string, number> = {};
  const refusalMs: number[] = [];
  const rssMiB: number[] = [];
  let answered = 0;

  async function ask(number: number): Promise<void> {
    const whole = distinct(files[number % files.length] as Uint8Array, number);
    const body = number % DAMAGED_EVERY === 0 ? whole.slice(0, whole.length / 2) : whole;
    for (;;) {
      const askedAt = performance.now();
      const response = await fetch(server.url, { method: "POST", body });
      await response.arrayBuffer();
      statuses[response.status] = (statuses[response.status] ?? 0) + 1;
      if (response.status !== 429) return;
      refusalMs.push(performance.now() - askedAt);
      await new Promise((resolve) => setTimeout(resolve, BACK_OFF_MS));
    }
  }

  async function askAndWatch(number: number): Promise<void> {
    await ask(number);
    answered += 1;
    if (answered % Math.ceil(requests / SAMPLES) === 0) {
      rssMiB.push(Math.round((await server.metric("process_resident_memory_bytes")) / 2 ** 20));
    }
  }

  try {
    const { seconds } = await runLoad({ clients, requests, ask: askAndWatch });
    const refusalAt = (share: number) => (refusalMs.length === 0 ? null : percentile(refusalMs, share));
    return {
      requests,
      clients,
      permits,
      seconds,
      captions_per_second: (statuses[200] ?? 0) / seconds,
      statuses,
      refusal_ms_median: refusalAt(0.5),
      refusal_ms_p99: refusalAt(0.99),
      rss_mib: rssMiB.join(" "),
    };
  } finally {
    await server.stop();
  }
}
