/**
 * Describes many documents through the API's jobs: by hash, which needs no captioning and no upload, and by public
 * address if the site wants that. A text is only written for the file that it is about.
 */

import type { JobItem } from "alt-text-edge-client";
import * as z from "zod";
import type { JobProgress } from "./captioner.ts";
import { outcomeOf, type Referenced, referenceDocument, writeIfSame } from "./describe.ts";
import type { Failure } from "./failure.ts";
import { eachOf, type Id, type Library, patiently, StoppedError } from "./library.ts";
import { siteOf } from "./site.ts";

/** Progress of a job is reported in about this many steps. */
const TELL_STEPS = 10;

/** A document, and what identifies its picture. */
interface Item extends Referenced {
  readonly id: Id;
}

export type ThroughJobs =
  /** `left` are the documents that must be sent, because the API does not know them. */
  { readonly ok: true; readonly left: readonly Id[] } | { readonly ok: "no jobs"; readonly reason: string };

/** Describes the pictures that the API knows or can fetch. @throws StoppedError */
export async function describeThroughJobs(library: Library, ids: readonly Id[]): Promise<ThroughJobs> {
  const { payload, slug: collection, isByAddress, count, tell } = library;
  const items: Item[] = [];
  const left: Id[] = [];
  await eachOf(ids, async (id) => {
    const referenced = await referenceDocument(payload, { collection, id });
    if (referenced === undefined) left.push(id);
    else if (referenced.kind === "skipped") count(id, referenced);
    else items.push({ ...referenced, id });
  });

  const byHash = await describeByJob(library, items, ({ picture }) => ({ sha256: picture.sha256 }));
  if (byHash.ok !== true) return byHash;
  tell(`${items.length - byHash.left.length} known by hash, ${byHash.left.length} not`);
  if (!isByAddress) return { ok: true, left: [...left, ...idsOf(byHash.left)] };

  const byAddress = await describeByJob(library, byHash.left, ({ picture: { url } }) => url && { url });
  if (byAddress.ok !== true) return byAddress;
  tell(
    `${byHash.left.length - byAddress.left.length} fetched from their addresses, ${byAddress.left.length} not found there as stored`,
  );
  return { ok: true, left: [...left, ...idsOf(byAddress.left)] };
}

const idsOf = (items: readonly Item[]) => items.map(({ id }) => id);

/** Waits for a job that an interrupted backfill left behind; its captions are then known by hash. */
export async function awaitLeftJob(library: Library): Promise<void> {
  const { payload, slug, tell } = library;
  const id = z.string().safeParse(await payload.kv.get(jobKey(slug)));
  if (!id.success) return;
  tell("waiting for the job that the last backfill left");
  // A failure is ignored here: the next request meets it too, and reports it.
  await followed(library, id.data);
  await payload.kv.delete(jobKey(slug));
}

/** The key that holds the id of the job under way. */
const jobKey = (slug: string) => `alt-text-backfill-job:${slug}`;

type ByJob =
  | { readonly ok: true; readonly left: readonly Item[] }
  | { readonly ok: "no jobs"; readonly reason: string };

/** Writes the texts of a job. `left` are the items without a reference and those that the job did not describe. */
async function describeByJob(
  library: Library,
  items: readonly Item[],
  referenceOf: (item: Item) => JobItem | undefined | "",
): Promise<ByJob> {
  const { payload, slug, alt, count } = library;
  const { captioner } = siteOf(payload);
  const asked = items.flatMap((item) => {
    const reference = referenceOf(item);
    return reference ? [{ item, reference }] : [];
  });
  if (asked.length === 0) return { ok: true, left: items };
  const references = asked.map(({ reference }) => reference);
  const terms = { maxLength: alt.maxLength, key: crypto.randomUUID() };
  const started = await patiently(() => captioner.startJob(references, terms), failureOf, library);
  if (started.ok === "no jobs") return started;
  const { id } = goodOf(started);
  await payload.kv.set(jobKey(slug), id);
  goodOf(await followed(library, id));
  const { answers } = goodOf(
    await patiently(() => captioner.jobAnswers(id, alt.maxLength), failureOf, library),
  );
  const described = new Set<Item>();
  await eachOf([...asked.entries()], async ([index, { item }]) => {
    const answer = answers.get(index);
    // An address may return other bytes than the stored ones.
    if (answer === undefined || answer.sha256 !== item.picture.sha256) return;
    const target = { collection: slug, id: item.id };
    const work = writeIfSame(payload, target, item.file, answer.described);
    count(item.id, await outcomeOf(payload, target, work));
    described.add(item);
  });
  await payload.kv.delete(jobKey(slug));
  return { ok: true, left: items.filter((item) => !described.has(item)) };
}

function followed(library: Library, id: string) {
  const { payload, tell } = library;
  let told = 0;
  let pausedUntil: string | undefined;
  const onProgress = ({ done, total, paused }: JobProgress) => {
    if (paused !== undefined && paused.until !== pausedUntil)
      tell(`waiting until ${paused.until}: ${paused.reason}`);
    pausedUntil = paused?.until;
    const step = Math.floor((done / total) * TELL_STEPS);
    if (step > told) tell(`job: ${done} of ${total}`);
    told = Math.max(told, step);
  };
  return patiently(() => siteOf(payload).captioner.followJob(id, onProgress), failureOf, library);
}

function failureOf(answer: { readonly ok: true | "no jobs" } | Failure): Failure | undefined {
  return answer.ok === false ? answer : undefined;
}

/** @throws StoppedError if the answer is a failure */
function goodOf<T extends { readonly ok: true }>(answer: T | Failure): T {
  if (answer.ok === false) throw new StoppedError(answer.reason);
  return answer;
}
