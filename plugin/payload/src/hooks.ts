/** What happens when a document of an upload collection is saved. Never fails an upload for the captioner's sake. */

import {
  type CollectionAfterChangeHook,
  type CollectionBeforeChangeHook,
  type CollectionBeforeOperationHook,
  type CollectionBeforeValidateHook,
  type CollectionConfig,
  type CollectionSlug,
  Forbidden,
  isolateObjectProperty,
  type PayloadRequest,
  type RequestContext,
  ValidationError,
} from "payload";
import { type AltField, REFUSED_BY_SITE, type Validated } from "./alt-field.ts";
import { DESCRIBE_QUEUE, DESCRIBE_TASK, FIELD } from "./names.ts";
import { type Document, valueAt, withValueAt } from "./paths.ts";
import { fileMark, isPicture, sha256Of, uploadedBytes, uploadedPictures } from "./pictures.ts";
import { type Saved, type Sent, type Stored, saveOf } from "./provenance.ts";
import { localeOf, siteOf } from "./site.ts";
import { letThrough, sentOf, stateFieldsOf, storedOf } from "./stored.ts";

/** Marks a write of our own to one document, with the text and the file that it was decided on. */
export interface MachineWrite {
  readonly collection: string;
  readonly id: number | string;
  readonly expectedAlt: string;
  /** `fileMark` of the document. */
  readonly expectedFile: string;
  /** Whether it brings another text. */
  readonly isNewText: boolean;
}

/** Thrown inside our own writes: somebody else wrote the text or replaced the file since they were read. */
export class ChangedMeanwhileError extends Error {
  override readonly name = "ChangedMeanwhileError";
  constructor() {
    super("The picture or its alt text was changed by somebody else meanwhile.");
  }
}

const MACHINE = "altTextMachineWrite";
/**
 * What a save means to the text, among its data until it is decided. Not in the request's context: several saves may share
 * one request, at the same time or one inside another's hooks.
 */
const INTENT = "altTextIntent";

type Intent =
  | { readonly kind: "sent"; readonly sent: Sent }
  | { readonly kind: "machine"; readonly write: MachineWrite };

export const machineContext = (write: MachineWrite): RequestContext => ({ [MACHINE]: write });

/** A collection's own hooks run first, ours last. */
export function withHooks(collection: CollectionConfig, alt: AltField): CollectionConfig["hooks"] {
  const { hooks } = collection;
  return {
    ...hooks,
    beforeOperation: [...(hooks?.beforeOperation ?? []), rememberIntent(alt)],
    beforeValidate: [...(hooks?.beforeValidate ?? []), decideText(alt)],
    beforeChange: [...(hooks?.beforeChange ?? []), guardMachineWrite(alt)],
    afterChange: [...(hooks?.afterChange ?? []), queueDescription],
  };
}

const isWrittenLocale = (req: PayloadRequest, alt: AltField) => {
  const { locale } = siteOf(req.payload);
  return !alt.isLocalized || req.locale === locale || req.locale === "all";
};

/** Payload fills in what a request leaves out before later hooks see it: what was really sent is told here. */
function rememberIntent(alt: AltField): CollectionBeforeOperationHook {
  return async ({ args, operation, collection, req, context, overrideAccess }) => {
    if (operation !== "create" && operation !== "update") return args;
    if (takesTurn(req, overrideAccess))
      await siteOf(req.payload).nameTurns.take(collection.slug, req.file.name);
    const { data, autosave, id } = args as { data?: Document; autosave?: boolean; id?: unknown };
    return { ...args, data: { ...data, [INTENT]: intentOf() } };

    function intentOf(): Intent {
      const write = context[MACHINE] as MachineWrite | undefined;
      if (write !== undefined && write.collection === collection.slug && write.id === id) {
        // What the site's hooks save in the course of it is the site's own.
        delete context[MACHINE];
        return { kind: "machine", write };
      }
      const locale = alt.isLocalized ? siteOf(req.payload).locale : undefined;
      return { kind: "sent", sent: sentOf(data, alt.path, locale, autosave !== true) };
    }
  };
}

/**
 * Whether a save brings a picture, for whose description it may wait. What a save may do is asked later: nobody, who may
 * not be let in, keeps nobody waiting.
 */
const takesTurn = (
  req: PayloadRequest,
  overrideAccess: boolean | undefined,
): req is PayloadRequest & { file: NonNullable<PayloadRequest["file"]> } =>
  isPicture(req.file?.mimetype) &&
  siteOf(req.payload).settings.inlineTimeoutMs > 0 &&
  (overrideAccess === true || Boolean(req.user));

const intentIn = (data: Document) => data[INTENT] as Intent | undefined;

function withoutIntent({ [INTENT]: _, ...data }: Document): Document {
  return data;
}

function decideText(alt: AltField): CollectionBeforeValidateHook {
  return async ({ data: given, originalDoc, operation, collection, req }) => {
    const intent = given && intentIn(given);
    // A copy and a version that is restored bring their own fields; a write of our own has decided already.
    if (given === undefined || intent?.kind !== "sent") return given;
    const data = withoutIntent(given);
    const bytes = await uploadedBytes(req);
    const hash = bytes === undefined ? undefined : sha256Of(bytes);
    const isNewFile = isReplaced({ data, originalDoc, hash, isCreate: operation === "create" });
    const inLocale = isWrittenLocale(req, alt);
    const before = await storedBefore(req, collection.slug, alt, originalDoc, inLocale || !isNewFile);
    const sent = letThrough(intent.sent, data, before, alt.path, siteOf(req.payload).locale);
    const saved = saveOf({
      before,
      sent: inLocale ? sent : { ...sent, alt: undefined, suggestion: undefined },
      isPicture: isPicture(data.mimeType ?? originalDoc?.mimeType),
      isNewFile,
    });
    // An old form sends the hash of the file that it was opened with.
    const known = valueAt(originalDoc, FIELD.hash) ?? null;
    const marked = { ...data, [FIELD.hash]: isNewFile && hash !== undefined ? hash : known };
    const result = await carryOut({
      saved,
      data: marked,
      before,
      alt,
      req,
      bytes,
      inLocale,
      originalDoc,
      collection: collection.slug,
    });
    delete result[FIELD.suggestion];
    return result;
  };
}

/** A new file: not a focal point that moved, nor the same bytes once more. */
function isReplaced({
  data,
  originalDoc,
  hash,
  isCreate,
}: {
  data: Document;
  originalDoc: Document | undefined;
  hash: string | undefined;
  isCreate: boolean;
}): boolean {
  if (isCreate) return valueAt(originalDoc, "filename") === undefined;
  if (hash === undefined) return false;
  const known = valueAt(originalDoc, FIELD.hash);
  if (typeof known === "string") return known !== hash;
  return data.filesize !== originalDoc?.filesize || data.filename !== originalDoc?.filename;
}

/** What is stored; for a save in another locale, of the locale that is described. */
async function storedBefore(
  req: PayloadRequest,
  collection: string,
  alt: AltField,
  originalDoc: Document | undefined,
  isAtHand: boolean,
): Promise<Stored | undefined> {
  if (originalDoc === undefined || Object.keys(originalDoc).length === 0) return undefined;
  const { locale } = siteOf(req.payload);
  if (isAtHand || locale === undefined) return storedOf(originalDoc, alt.path, locale);
  const id = originalDoc.id as number | string;
  const read = await req.payload.findByID({
    collection: collection as CollectionSlug,
    id,
    locale: locale as never,
    fallbackLocale: false,
    depth: 0,
    draft: true,
    disableErrors: true,
    overrideAccess: true,
    // The call sets the request's locale; the save that is under way keeps its own.
    req: isolateObjectProperty(req, ["locale", "fallbackLocale"]),
  });
  return storedOf(read ?? originalDoc, alt.path, locale);
}

async function carryOut({
  saved,
  data,
  before,
  alt,
  req,
  bytes,
  inLocale,
  originalDoc,
  collection,
}: {
  saved: Saved;
  data: Document;
  before: Stored | undefined;
  alt: AltField;
  req: PayloadRequest;
  bytes: Uint8Array<ArrayBuffer> | undefined;
  inLocale: boolean;
  originalDoc: Document | undefined;
  collection: string;
}): Promise<Document> {
  if (saved.kind === "refuse") {
    throw new ValidationError({ errors: [{ path: FIELD.decorative, message: saved.message }], req }, req.t);
  }
  if (saved.kind === "keep") return keep(data, alt, originalDoc, before, inLocale, req);
  const put = (stored: Stored) => {
    const result = { ...data, ...stateFieldsOf(stored) };
    // The text field holds another locale otherwise: it is that editor's, and stays.
    return inLocale ? withValueAt(result, textPath(alt, req), stored.alt) : result;
  };
  if (saved.kind === "set") return put(saved.stored);
  const operation = before === undefined ? "create" : "update";
  const of = { req, collection, document: { ...originalDoc, ...data }, operation } as const;
  return put(await describedNow({ saved: saved.stored, data, alt, of, bytes, inLocale }));
}

/** The description, asked for while the upload waits; or the state in which a job takes it over. */
async function describedNow({
  saved,
  data,
  alt,
  of,
  bytes,
  inLocale,
}: {
  saved: Stored;
  data: Document;
  alt: AltField;
  of: Validated;
  bytes: Uint8Array<ArrayBuffer> | undefined;
  inLocale: boolean;
}): Promise<Stored> {
  const { req } = of;
  const { captioner, settings } = siteOf(req.payload);
  const later = (reason: string | null): Stored => ({ ...saved, state: "pending", reason });
  if (bytes === undefined || !inLocale || settings.inlineTimeoutMs === 0) return later(null);
  const described = await captioner.describeNow(await uploadedPictures(req, data, bytes), alt.maxLength);
  const failed = (reason: string): Stored => ({
    ...saved,
    state: saved.alt === "" ? "failed" : "stale",
    reason,
  });
  if (described.ok) {
    const { text, score, needsReview } = described;
    // Saved, it would fail the upload.
    if (!(await alt.accepts(text, of))) return failed(REFUSED_BY_SITE);
    return {
      alt: text,
      state: needsReview ? "review" : "generated",
      source: "generated",
      score,
      reason: null,
      generated: text,
      decorative: false,
    };
  }
  if (described.isPassing) return later(described.reason);
  return failed(described.reason);
}

/** Nothing of ours changes, whatever an old form sends. */
function keep(
  data: Document,
  alt: AltField,
  originalDoc: Document | undefined,
  before: Stored | undefined,
  inLocale: boolean,
  req: PayloadRequest,
): Document {
  const kept = Object.fromEntries(
    [FIELD.state, FIELD.source, FIELD.score, FIELD.reason, FIELD.generated, FIELD.hash].map((name) => [
      name,
      valueAt(originalDoc, name) ?? null,
    ]),
  );
  const result = { ...data, ...kept };
  if (!inLocale || before === undefined) return result;
  const path = textPath(alt, req);
  return (valueAt(data, path) ?? "") === before.alt ? result : withValueAt(result, path, before.alt);
}

/** Where the text stands in the data of this request, which may hold all locales at once. */
function textPath(alt: AltField, req: PayloadRequest): string {
  const { locale } = siteOf(req.payload);
  return alt.isLocalized && req.locale === "all" && locale !== undefined ? `${alt.path}.${locale}` : alt.path;
}

/** The last moment before a description is written: are they still the text and the file that were read? */
function guardMachineWrite(alt: AltField): CollectionBeforeChangeHook {
  return async ({ data: given, originalDoc, collection, req }) => {
    const intent = intentIn(given);
    if (intent?.kind !== "machine" || originalDoc === undefined) return given;
    const { write } = intent;
    const data = withoutIntent(given);
    const { locale } = siteOf(req.payload);
    // What a field's own access does not let through is left out in silence.
    const isLeftOut = (valueAt(data, alt.path) ?? "") === write.expectedAlt;
    if (write.isNewText && isLeftOut) throw new Forbidden(req.t);
    const now = await req.payload.findByID({
      collection: collection.slug as CollectionSlug,
      id: originalDoc.id,
      draft: true,
      depth: 0,
      disableErrors: true,
      overrideAccess: true,
      ...localeOf(req.payload, alt),
      req,
    });
    const stored = storedOf(now, alt.path, locale);
    const isSame = stored.alt === write.expectedAlt && fileMark(now) === write.expectedFile;
    if (!isSame || stored.decorative) throw new ChangedMeanwhileError();
    return data;
  };
}

const queueDescription: CollectionAfterChangeHook = async (save) => {
  const { doc, collection, req, overrideAccess } = save;
  if (takesTurn(req, overrideAccess)) siteOf(req.payload).nameTurns.end(collection.slug, req.file.name);
  if (!startsToWait(save)) return doc;
  // With the request: the job stands in the upload's own transaction.
  await req.payload.jobs.queue({
    task: DESCRIBE_TASK as never,
    queue: DESCRIBE_QUEUE,
    input: { collection: collection.slug, id: String(doc.id), attempt: 0 } as never,
    req,
  });
  return doc;
};

/**
 * Whether a save leaves a picture waiting that no job is under way for: a new file, one that comes back from the trash, or
 * a version from when it waited.
 */
function startsToWait({
  data,
  previousDoc,
  operation,
}: Pick<Parameters<CollectionAfterChangeHook>[0], "data" | "previousDoc" | "operation">): boolean {
  if (data[FIELD.state] !== "pending") return false;
  if (operation === "create") return true;
  const isRestored = Boolean(previousDoc?.deletedAt) && data.deletedAt === null;
  const isWaiting = valueAt(previousDoc, FIELD.state) === "pending";
  return isRestored || !isWaiting || data[FIELD.hash] !== valueAt(previousDoc, FIELD.hash);
}
