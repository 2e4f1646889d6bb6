/** Describes one stored document: reads it, asks, and writes. Jobs, runs and the backfill share this. */

import {
  type CollectionSlug,
  commitTransaction,
  createLocalReq,
  Forbidden,
  initTransaction,
  killTransaction,
  NotFound,
  type Payload,
  type PayloadRequest,
  type RequestContext,
  type TypedUser,
  ValidationError,
} from "payload";
import { type AltField, REFUSED_BY_SITE } from "./alt-field.ts";
import type { Described } from "./captioner.ts";
import { FIELD } from "./names.ts";
import { type Document, withValueAt } from "./paths.ts";
import { fileMark, isPicture, type PictureReference, storedPictures, storedReference } from "./pictures.ts";
import { mayDescribe, NOTHING_STORED, type Stored } from "./provenance.ts";
import { ChangedMeanwhileError, machineContext } from "./save-intent.ts";
import { type InLocale, localeOf, localesOf, siteOf, withoutFallback } from "./site.ts";
import { stateFieldsOf, storedOf } from "./stored.ts";

export type Outcome =
  | { readonly kind: "generated" | "cached"; readonly text: string }
  | { readonly kind: "skipped"; readonly reason: SkipReason }
  | { readonly kind: "failed"; readonly reason: string; readonly failure?: Described & { ok: false } };

export type SkipReason = "gone" | "has text" | "decorative" | "no picture" | "changed meanwhile";

export interface Target {
  readonly collection: string;
  readonly id: number | string;
  /**
   * The person on whose behalf it happens; what they may not read or change is left alone. Undefined for the system
   * itself.
   */
  readonly user?: TypedUser | undefined;
  /** Reports what would happen, without asking or writing anything. */
  readonly isDryRun?: boolean;
  /** A passing failure is not written to the document, because the caller asks again. */
  readonly isAskedAgain?: boolean;
}

interface Read {
  readonly req: PayloadRequest;
  readonly document: Document;
  readonly stored: Stored;
  readonly alt: AltField;
}

type Skipped = Outcome & { readonly kind: "skipped" };

/**
 * Describes the picture unless there is a text that a person wrote. A failure of the service is only reported; a
 * failure of the picture is also written to the document, with its reason.
 */
export async function describeDocument(payload: Payload, target: Target): Promise<Outcome> {
  const read = await readToDescribe(payload, target);
  if ("kind" in read) return read;
  if (target.isDryRun) return { kind: "generated", text: "" };

  let described: Described;
  try {
    const pictures = await storedPictures(read.req, target.collection as CollectionSlug, read.document);
    described = await siteOf(payload).captioner.describe(pictures, read.alt.maxLength);
  } catch (error) {
    payload.logger.warn({
      err: error,
      msg: `altText: cannot read the file of ${target.collection} ${target.id}`,
    });
    // A storage can be away, and some get a file only after its document is in the database.
    described = { ok: false, reason: "The file cannot be read.", concerns: "picture", isPassing: true };
  }
  const file = fileMark(read.document);
  if (described.ok) return writeIfSame(payload, target, file, described);
  if (described.concerns === "picture" && !(described.isPassing && target.isAskedAgain)) {
    const now = await readAgain(payload, target, file);
    if ("kind" in now) return now;
    await writeFailure(payload, target, described.reason, now);
  }
  return { kind: "failed", reason: described.reason, failure: described };
}

/**
 * The outcome for a document. It never rejects: a document that the site cannot save must not end the work on the
 * others.
 */
export async function outcomeOf(
  { logger }: Payload,
  { collection, id }: Target,
  work: Promise<Outcome>,
): Promise<Outcome> {
  return work.catch((error: unknown): Outcome => {
    logger.error({ err: error, msg: `altText: ${collection} ${id} could not be described` });
    return { kind: "failed", reason: "The site could not save it; its log says why." };
  });
}

/** A document whose picture is requested by hash or address, and whose answer may come much later. */
export interface Referenced {
  readonly kind: "referenced";
  readonly picture: PictureReference;
  /** `fileMark` of the document. */
  readonly file: string;
}

/**
 * What identifies the document's picture. Undefined if its file cannot be read, or if the API reads none of its
 * formats.
 */
export async function referenceDocument(
  payload: Payload,
  target: Target,
): Promise<Referenced | Skipped | undefined> {
  const read = await readToDescribe(payload, target);
  if ("kind" in read) return read;
  const { req, document } = read;
  const picture = await storedReference(req, target.collection as CollectionSlug, document).catch(
    () => undefined,
  );
  return picture && { kind: "referenced", picture, file: fileMark(document) };
}

/** Writes a text that was requested some time ago, if the document still has that file and still no text of a person. */
export async function writeIfSame(
  payload: Payload,
  target: Target,
  file: string,
  described: Described & { ok: true },
): Promise<Outcome> {
  const read = await readAgain(payload, target, file);
  return "kind" in read ? read : writeText(payload, target, read, described);
}

const CHANGED: Skipped = { kind: "skipped", reason: "changed meanwhile" };

/** Reads the document, or says why its picture must not be described. */
async function readToDescribe(payload: Payload, target: Target): Promise<Read | Skipped> {
  const skipped = (reason: SkipReason): Skipped => ({ kind: "skipped", reason });
  const alt = siteOf(payload).altFields.get(target.collection);
  const read = alt && (await readTarget(payload, target, alt));
  if (read === undefined) return skipped("gone");
  if (!isPicture(read.document.mimeType)) return skipped("no picture");
  if (read.stored.decorative) return skipped("decorative");
  return mayDescribe(read.stored) ? read : skipped("has text");
}

/**
 * Reads the document again after an answer that may have taken long: somebody may have begun or published a draft
 * meanwhile.
 */
async function readAgain(payload: Payload, target: Target, file: string): Promise<Read | Skipped> {
  const read = await readToDescribe(payload, target);
  return "kind" in read || fileMark(read.document) === file ? read : CHANGED;
}

async function writeText(
  payload: Payload,
  target: Target,
  read: Read,
  { text, score, needsReview, cached }: Described & { ok: true },
): Promise<Outcome> {
  const { req, document, alt } = read;
  const { collection } = target;
  if (!(await alt.accepts(text, { req, collection, document, operation: "update" }))) {
    await writeFailure(payload, target, REFUSED_BY_SITE, read);
    return { kind: "failed", reason: REFUSED_BY_SITE };
  }
  const refused = await write(payload, target, read, {
    ...NOTHING_STORED,
    alt: text,
    state: needsReview ? "review" : "generated",
    source: "generated",
    score,
    generated: text,
  });
  return refused ?? { kind: cached ? "cached" : "generated", text };
}

/** Records on the document that it cannot be described, unless a person has written a text by now. */
export async function giveUp(payload: Payload, target: Target, reason: string): Promise<void> {
  const alt = siteOf(payload).altFields.get(target.collection);
  if (alt === undefined) return;
  const read = await readTarget(payload, target, alt);
  if (read !== undefined && mayDescribe(read.stored)) await writeFailure(payload, target, reason, read);
}

async function writeFailure(payload: Payload, target: Target, reason: string, read: Read): Promise<void> {
  const state = read.stored.alt === "" ? "failed" : "stale";
  await write(payload, target, read, { ...read.stored, state, reason });
}

async function requestFor(
  payload: Payload,
  { user }: Target,
  inLocale: InLocale,
  context: RequestContext = {},
): Promise<PayloadRequest> {
  const who = user === undefined ? {} : { user };
  return createLocalReq({ ...who, ...inLocale, context }, payload);
}

async function readTarget(payload: Payload, target: Target, alt: AltField): Promise<Read | undefined> {
  const inLocale = localeOf(payload, alt);
  const req = await requestFor(payload, target, inLocale);
  const document = (await payload.findByID({
    collection: target.collection as CollectionSlug,
    id: target.id,
    // The next save starts from the newest draft.
    draft: true,
    depth: 0,
    disableErrors: true,
    overrideAccess: target.user === undefined,
    ...inLocale,
    req,
  })) as Document | null;
  if (document === null) return undefined;
  return { req, document, alt, stored: storedOf(document, alt.path, siteOf(payload).locale) };
}

/**
 * Writes `stored`, or returns the outcome that prevents it. Payload validates a document in the locale that is
 * written, and some locales may not be filled in. So values that apply to all locales are written in the first
 * locale in which the document is valid.
 */
async function write(
  payload: Payload,
  target: Target,
  read: Read,
  stored: Stored,
): Promise<Outcome | undefined> {
  const [first, ...others] = localesOf(payload, read.alt);
  const isOfOneLocale = read.alt.isLocalized && stored.alt !== read.stored.alt;
  for (const locale of isOfOneLocale ? [first] : [first, ...others]) {
    const outcome = await writeIn(payload, target, read, stored, withoutFallback(locale));
    if (outcome !== "invalid") return outcome;
  }
  const where = isOfOneLocale ? ` in the locale "${first}"` : "";
  const reason = `The document does not pass the site's own validation${where}: complete it, then generate its text again.`;
  // The state applies to all locales, so it may be written in another one.
  if (isOfOneLocale) await writeFailure(payload, target, reason, read);
  return { kind: "failed", reason };
}

async function writeIn(
  payload: Payload,
  target: Target,
  { document, stored: before, alt }: Read,
  stored: Stored,
  inLocale: InLocale,
): Promise<Outcome | "invalid" | undefined> {
  const context = machineContext({
    collection: target.collection,
    id: target.id,
    expectedAlt: before.alt,
    expectedFile: fileMark(document),
    expectedStatus: document._status,
    isNewText: stored.alt !== before.alt,
  });
  const req = await requestFor(payload, target, inLocale, context);
  const isOwn = await initTransaction(req);
  try {
    if (req.transactionID !== undefined && req.transactionID !== null) await lockRow(req, target);
    await payload.update({
      collection: target.collection as CollectionSlug,
      id: target.id,
      data: dataOf(alt.path, stored, before) as never,
      // An unfinished draft stays a draft.
      draft: document._status === "draft",
      depth: 0,
      overrideAccess: target.user === undefined,
      ...inLocale,
      req,
    });
    if (isOwn) await commitTransaction(req);
    return undefined;
  } catch (error) {
    if (isOwn) await killTransaction(req);
    if (error instanceof ChangedMeanwhileError) return CHANGED;
    if (error instanceof NotFound) return { kind: "skipped", reason: "gone" };
    if (error instanceof Forbidden) return { kind: "failed", reason: "You may not change this document." };
    if (error instanceof ValidationError) return "invalid";
    throw error;
  }
}

function dataOf(path: string, stored: Stored, before: Stored): Document {
  const { [FIELD.decorative]: _, ...fields } = stateFieldsOf(stored);
  return stored.alt === before.alt ? fields : withValueAt(fields, path, stored.alt);
}

/**
 * Locks the document's row in the transaction, so that another save comes either before the guard reads it or after
 * our write.
 */
async function lockRow(req: PayloadRequest, { collection, id }: Target): Promise<void> {
  await req.payload.db.updateOne({
    collection: collection as CollectionSlug,
    id,
    data: { updatedAt: new Date().toISOString() },
    returning: false,
    req,
  } as never);
}
