/** `payload alt-text [--dry-run] [--collection SLUG]`: describes what has no text yet, with no browser. Resumable: run it again. */

import { parseArgs } from "node:util";
import { type CollectionSlug, getPayload, type Payload, type SanitizedConfig } from "payload";
import { missingWhere } from "./access.ts";
import { describeDocument, type Outcome } from "./describe.ts";
import { RUN_STALL_DELAYS_MS, RUN_WIDTH } from "./limits.ts";
import { siteOf } from "./site.ts";

const USAGE = "usage: payload alt-text [--dry-run] [--collection SLUG]";
/** Documents read at once. */
const PAGE_DOCUMENTS = 100;

export interface Summary {
  generated: number;
  cached: number;
  skipped: number;
  failed: number;
}

/** What Payload's command line calls. Ends the process with status 1 where something failed, 2 on wrong use. */
export async function script(config: SanitizedConfig): Promise<void> {
  const options = parseOptions();
  const payload = await getPayload({ config });
  const summary = await backfill(payload, { ...options, print: (line) => console.log(line) });
  await payload.destroy();
  if (summary.failed > 0) process.exit(1);
}

function parseOptions(): { isDryRun: boolean; collection: string | undefined } {
  try {
    const { values } = parseArgs({
      args: process.argv.slice(3),
      options: { "dry-run": { type: "boolean", default: false }, collection: { type: "string" } },
    });
    return { isDryRun: values["dry-run"], collection: values.collection };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    process.exit(2);
  }
}

/**
 * Describes every picture without text, `RUN_WIDTH` at a time. What fails is passed over and named; a captioner that stays
 * away ends it. Nothing is kept outside of the documents: a second run does what the first one left.
 */
export async function backfill(
  payload: Payload,
  {
    isDryRun,
    collection,
    print,
    wait = (ms) => new Promise((wake) => setTimeout(wake, ms)),
  }: {
    readonly isDryRun: boolean;
    readonly collection?: string | undefined;
    readonly print: (line: string) => void;
    readonly wait?: (ms: number) => Promise<void>;
  },
): Promise<Summary> {
  const { altFields, locale } = siteOf(payload);
  if (collection !== undefined && !altFields.has(collection)) {
    throw new Error(
      `expected --collection to be one of ${[...altFields.keys()].join(", ")}, got "${collection}"`,
    );
  }
  const summary: Summary = { generated: 0, cached: 0, skipped: 0, failed: 0 };
  for (const [slug, alt] of altFields) {
    if (collection !== undefined && slug !== collection) continue;
    const { docs }: { docs: { id: string | number }[] } = await payload.find({
      collection: slug as CollectionSlug,
      where: missingWhere(alt),
      select: {} as never,
      pagination: false,
      sort: "id",
      depth: 0,
      overrideAccess: true,
      ...(locale === undefined ? {} : { locale: locale as never }),
    });
    print(`${slug}: ${docs.length} without alt text${isDryRun ? ", nothing is written" : ""}`);
    for (let at = 0; at < docs.length; at += RUN_WIDTH) {
      const some = docs.slice(at, at + RUN_WIDTH);
      const outcomes = await Promise.all(
        some.map(({ id }) => describePatiently(payload, { collection: slug, id, isDryRun }, wait)),
      );
      outcomes.forEach((outcome, index) => {
        summary[outcome.kind] += 1;
        if (outcome.kind === "failed") print(`${slug} ${some[index]?.id}: ${outcome.reason}`);
      });
      const away = outcomes.find(
        (outcome) => outcome.kind === "failed" && outcome.failure?.concerns === "service",
      );
      if (away?.kind === "failed") {
        print(`Stopped: ${away.reason} Run it again to go on.`);
        return summary;
      }
      const done = at + some.length;
      if (done % PAGE_DOCUMENTS < RUN_WIDTH || done === docs.length)
        print(`${slug}: ${done} of ${docs.length}`);
    }
  }
  print(
    `${isDryRun ? "Would be described" : "Generated"} ${summary.generated}, cached ${summary.cached}, skipped ${summary.skipped}, failed ${summary.failed}`,
  );
  return summary;
}

async function describePatiently(
  payload: Payload,
  target: { collection: string; id: string | number; isDryRun: boolean },
  wait: (ms: number) => Promise<void>,
): Promise<Outcome> {
  for (let attempt = 0; ; attempt++) {
    const outcome = await describeDocument(payload, target);
    if (outcome.kind !== "failed" || outcome.failure?.isPassing !== true) return outcome;
    const delayMs = RUN_STALL_DELAYS_MS[attempt];
    if (delayMs === undefined) return outcome;
    await wait(Math.max(delayMs, outcome.failure.retryAfterMs ?? 0));
  }
}
