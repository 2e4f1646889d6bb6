/**
 * `payload alt-text`: describes every picture that has no text yet, without a browser. For a large library it first
 * asks the API's jobs by hash, and then sends only the pictures that nobody has captioned before. Apart from the id
 * of a job under way, nothing is kept outside the documents, so a second run does what the first one left.
 */

import { parseArgs } from "node:util";
import { type CollectionSlug, getPayload, type Payload, type SanitizedConfig } from "payload";
import { missingSearches } from "./access.ts";
import { awaitLeftJob, describeThroughJobs } from "./backfill-jobs.ts";
import { describeDocument, type Outcome, outcomeOf } from "./describe.ts";
import { eachOf, type Id, type Library, patiently, StoppedError } from "./library.ts";
import { BACKFILL_JOB_FROM, BACKFILL_JOB_PICTURES } from "./limits.ts";
import { siteOf } from "./site.ts";

const USAGE = "usage: payload alt-text [--dry-run] [--collection SLUG] [--by-address]";
/** Progress is reported about once per this many documents. */
const TELL_EVERY = 100;

export interface Summary {
  generated: number;
  cached: number;
  skipped: number;
  failed: number;
}

export interface BackfillOptions {
  readonly isDryRun: boolean;
  /** The only collection to describe; by default all chosen ones. */
  readonly collection?: string | undefined;
  /** Whether the API may fetch pictures through jobs from the addresses that the site gives. */
  readonly isByAddress?: boolean;
  readonly print: (line: string) => void;
  readonly wait?: (ms: number) => Promise<void>;
}

/** Called by Payload's command line. Ends the process with status 1 if something failed, or 2 if used wrongly. */
export async function script(config: SanitizedConfig): Promise<void> {
  const options = parseOptions();
  const payload = await getPayload({ config });
  const { collection } = options;
  if (collection !== undefined && !siteOf(payload).altFields.has(collection))
    endWrong(notChosen(payload, collection));
  const summary = await backfill(payload, { ...options, print: (line) => console.log(line) });
  await payload.destroy();
  if (summary.failed > 0) process.exit(1);
}

function parseOptions(): Pick<BackfillOptions, "isDryRun" | "collection" | "isByAddress"> {
  try {
    const { values } = parseArgs({
      args: process.argv.slice(3),
      options: {
        "dry-run": { type: "boolean", default: false },
        collection: { type: "string" },
        "by-address": { type: "boolean", default: false },
      },
    });
    return { isDryRun: values["dry-run"], collection: values.collection, isByAddress: values["by-address"] };
  } catch (error) {
    return endWrong(error instanceof Error ? error.message : String(error));
  }
}

function endWrong(message: string): never {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}

/**
 * Describes every picture without text. Failures are named and passed over; if the captioner stays away, the
 * backfill ends with a message.
 * @throws Error for a collection that was not chosen
 */
export async function backfill(payload: Payload, options: BackfillOptions): Promise<Summary> {
  const { isDryRun, isByAddress = false, collection, print } = options;
  const { wait = (ms) => new Promise<void>((wake) => setTimeout(wake, ms)) } = options;
  const { altFields } = siteOf(payload);
  if (collection !== undefined && !altFields.has(collection)) throw new Error(notChosen(payload, collection));
  const summary: Summary = { generated: 0, cached: 0, skipped: 0, failed: 0 };
  let hasJobs = !isDryRun;
  try {
    for (const [slug, alt] of altFields) {
      if (collection !== undefined && slug !== collection) continue;
      const tell = (line: string) => print(`${slug}: ${line}`);
      const count = (id: Id, outcome: Outcome) => {
        summary[outcome.kind] += 1;
        if (outcome.kind === "failed") print(`${slug} ${id}: ${outcome.reason}`);
      };
      const library = { payload, slug, alt, isDryRun, isByAddress, wait, tell, count };
      hasJobs = await describeLibrary(library, hasJobs);
    }
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error;
    summary.failed = Math.max(summary.failed, 1);
    print(`Stopped: ${error.message} Run it again to go on.`);
    return summary;
  }
  print(
    `${isDryRun ? "Would be described" : "Generated"} ${summary.generated}, cached ${summary.cached}, skipped ${summary.skipped}, failed ${summary.failed}`,
  );
  return summary;
}

function notChosen(payload: Payload, collection: string): string {
  const slugs = [...siteOf(payload).altFields.keys()].join(", ");
  return `expected --collection to be one of ${slugs}, got "${collection}"`;
}

/**
 * Describes one collection. Resolves with whether the API has jobs for this site, as far as is known by then.
 * @throws StoppedError
 */
async function describeLibrary(library: Library, mayHaveJobs: boolean): Promise<boolean> {
  const { isDryRun, isByAddress, tell } = library;
  if (mayHaveJobs) await awaitLeftJob(library);
  const ids = await missingIds(library);
  tell(`${ids.length} without alt text${isDryRun ? ", nothing is written" : ""}`);
  const isLarge = ids.length >= BACKFILL_JOB_FROM;
  if (isLarge && (mayHaveJobs || isDryRun)) {
    const rest = isByAddress ? "fetched from its address, or else sent" : "sent";
    tell(`asked for by hash first, in jobs of up to ${BACKFILL_JOB_PICTURES}; what is not known is ${rest}`);
  }
  let hasJobs = mayHaveJobs;
  for (let at = 0; at < ids.length; at += BACKFILL_JOB_PICTURES) {
    const slice = ids.slice(at, at + BACKFILL_JOB_PICTURES);
    const through = isLarge && hasJobs ? await describeThroughJobs(library, slice) : undefined;
    if (through?.ok === "no jobs") {
      tell(`${through.reason} Pictures are asked for one by one.`);
      hasJobs = false;
    }
    await describeOneByOne(library, through?.ok === true ? through.left : slice);
    if (!isDryRun) tell(`${at + slice.length} of ${ids.length} done`);
  }
  return hasJobs;
}

/**
 * Documents without text, in their published versions or in their newest drafts; a document may exist only as a
 * draft.
 */
async function missingIds({ payload, slug, alt }: Library): Promise<readonly Id[]> {
  const { locale } = siteOf(payload);
  const ids = new Set<Id>();
  for (const { where, draft } of missingSearches(payload, slug, alt)) {
    const { docs }: { docs: { id: Id }[] } = await payload.find({
      collection: slug as CollectionSlug,
      where,
      draft,
      select: {} as never,
      pagination: false,
      sort: "id",
      depth: 0,
      overrideAccess: true,
      ...(locale === undefined ? {} : { locale: locale as never }),
    });
    for (const { id } of docs) ids.add(id);
  }
  return [...ids];
}

/** Asks for each picture by hash, and sends it if the hash is unknown. @throws StoppedError */
async function describeOneByOne(library: Library, ids: readonly Id[]): Promise<void> {
  const { payload, slug: collection, isDryRun, tell, count } = library;
  let done = 0;
  await eachOf(ids, async (id) => {
    const target = { collection, id, isDryRun };
    const ask = () => outcomeOf(payload, target, describeDocument(payload, target));
    const outcome = await patiently(ask, failureOf, library);
    count(id, outcome);
    done += 1;
    if (done % TELL_EVERY === 0 && done < ids.length && !isDryRun) tell(`${done} of ${ids.length}`);
    const failure = failureOf(outcome);
    if (failure !== undefined) throw new StoppedError(failure.reason);
  });
}

/** The failure, if it is the service's; it does not wait for the failure of a single picture. */
const failureOf = (outcome: Outcome) =>
  outcome.kind === "failed" && outcome.failure?.concerns === "service" ? outcome.failure : undefined;
