/** Decides what a save does to the text: keep, refuse or set it, or describe the picture while the upload waits. */

import {
  type CollectionBeforeValidateHook,
  type CollectionSlug,
  isolateObjectProperty,
  type PayloadRequest,
  ValidationError,
} from "payload";
import { type AltField, REFUSED_BY_SITE, type Validated } from "./alt-field.ts";
import { isAskedLater } from "./failure.ts";
import { DECORATIVE_LABEL, FIELD } from "./names.ts";
import { type Document, valueAt, withValueAt } from "./paths.ts";
import { isPicture, sha256Of, uploadedBytes, uploadedPictures } from "./pictures.ts";
import { type Saved, type Stored, saveOf } from "./provenance.ts";
import { intentIn, withoutIntent } from "./save-intent.ts";
import { localeOf, siteOf } from "./site.ts";
import { letThrough, stateFieldsOf, storedOf } from "./stored.ts";

/** The hook that sets text and state in the data of a save, by what was sent and what is stored. */
export function decideText(alt: AltField): CollectionBeforeValidateHook {
  return async ({ data: given, originalDoc, operation, collection, req }) => {
    const intent = given && intentIn(given);
    if (given === undefined) return given;
    // A copy or a restored version brings its own fields, and one of our own writes has already decided.
    if (intent === undefined && operation === "update") return restored(given, originalDoc);
    if (intent?.kind !== "sent") return given;
    const data = withoutIntent(given);
    const bytes = await uploadedBytes(req);
    const hash = bytes === undefined ? undefined : sha256Of(bytes);
    const isCreate = operation === "create";
    const isNewFile = (isCreate || intent.bringsPicture) && isReplaced({ data, originalDoc, hash, isCreate });
    const inLocale = isWrittenLocale(req, alt);
    // Payload has put empty groups into the original of a document that does not exist yet.
    const original = isCreate && isNewFile ? undefined : originalDoc;
    const before = await storedBefore(req, collection.slug, alt, original, inLocale);
    const sent = letThrough(intent.sent, data, before, alt.path, siteOf(req.payload).locale);
    // The save writes only its own locale, so it could not empty the text.
    if (!inLocale && sent.decorative === true && before?.alt)
      throw markRefused(
        req,
        `There is alt text in the locale "${siteOf(req.payload).locale}": mark the picture as decorative there.`,
      );
    const decide = (stored: Stored | undefined) =>
      saveOf({
        before: stored,
        sent: inLocale ? sent : { ...sent, alt: undefined, suggestion: undefined },
        isPicture: isPicture(data.mimeType ?? originalDoc?.mimeType),
        isNewFile,
      });
    // An old form sends the hash of the file that it was opened with.
    const marked = { ...data, [FIELD.hash]: hash ?? valueAt(originalDoc, FIELD.hash) ?? null };
    const result = await carryOut({
      decide,
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

/** States in which there is a text that says what the picture shows. */
const OF_PICTURE: ReadonlySet<unknown> = new Set(["generated", "review", "described"]);

/** A restored version. If the person's rights leave the file as it is, the version's words may be about another file. */
function restored(data: Document, originalDoc: Document | undefined): Document {
  const hash = valueAt(originalDoc, FIELD.hash);
  const isOtherFile = data.filename !== originalDoc?.filename || data.filesize !== originalDoc?.filesize;
  if (isOtherFile || typeof hash !== "string" || data[FIELD.hash] === hash) return data;
  const state = OF_PICTURE.has(data[FIELD.state]) ? "stale" : data[FIELD.state];
  return { ...data, [FIELD.hash]: hash, [FIELD.state]: state };
}

/** Whether the save brings a new file, rather than the same bytes again. */
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

/** The stored text. For a save in another locale, it is read in the locale that is described. */
async function storedBefore(
  req: PayloadRequest,
  collection: string,
  alt: AltField,
  originalDoc: Document | undefined,
  inLocale: boolean,
): Promise<Stored | undefined> {
  if (originalDoc === undefined) return undefined;
  const { locale } = siteOf(req.payload);
  const id = originalDoc.id as number | string | undefined;
  // A copy of another document has no id.
  if (inLocale || locale === undefined || id === undefined) return storedOf(originalDoc, alt.path, locale);
  return (await storedNow(req, collection, alt, id)) ?? storedOf(originalDoc, alt.path, locale);
}

/** What the database holds in the locale that is described; undefined if the document is gone. */
async function storedNow(
  req: PayloadRequest,
  collection: string,
  alt: AltField,
  id: number | string,
): Promise<Stored | undefined> {
  const read = await req.payload.findByID({
    collection: collection as CollectionSlug,
    id,
    ...localeOf(req.payload, alt),
    depth: 0,
    draft: true,
    disableErrors: true,
    overrideAccess: true,
    // The call sets the request's locale, but the save under way must keep its own.
    req: isolateObjectProperty(req, ["locale", "fallbackLocale"]),
  });
  return read === null ? undefined : storedOf(read, alt.path, siteOf(req.payload).locale);
}

async function carryOut({
  decide,
  data,
  before,
  alt,
  req,
  bytes,
  inLocale,
  originalDoc,
  collection,
}: {
  decide: (stored: Stored | undefined) => Saved;
  data: Document;
  before: Stored | undefined;
  alt: AltField;
  req: PayloadRequest;
  bytes: Uint8Array<ArrayBuffer> | undefined;
  inLocale: boolean;
  originalDoc: Document | undefined;
  collection: string;
}): Promise<Document> {
  const saved = decide(before);
  if (saved.kind === "refuse") throw markRefused(req, saved.message);
  if (saved.kind === "keep") return keep(data, alt, originalDoc, before, inLocale, req);
  const put = (stored: Stored) => {
    const result = { ...data, ...stateFieldsOf(stored) };
    // Otherwise the text field holds another locale, which is the editor's and stays.
    return inLocale ? withValueAt(result, textPath(alt, req), stored.alt) : result;
  };
  if (saved.kind === "set") return put(saved.stored);
  const operation = before === undefined ? "create" : "update";
  const of = { req, collection, document: { ...originalDoc, ...data }, operation } as const;
  const described = await describedNow({ saved: saved.stored, data, alt, of, bytes, inLocale });
  // Somebody else may have saved words while this save waited.
  const id = originalDoc?.id as number | string | undefined;
  const now =
    before === undefined || id === undefined ? undefined : await storedNow(req, collection, alt, id);
  const again = now === undefined ? saved : decide(now);
  return put(again.kind === "set" ? again.stored : described);
}

/** When Payload saves by itself or in bulk, it shows only an error's label. */
function markRefused(req: PayloadRequest, message: string): ValidationError {
  const label = `${DECORATIVE_LABEL} (${message})`;
  return new ValidationError({ errors: [{ path: FIELD.decorative, label, message }], req }, req.t);
}

/** The description requested while the upload waits, or the state in which a job takes over. */
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
    // If it were saved, it would fail the upload.
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
  if (isAskedLater(described)) return later(described.reason);
  return failed(described.reason);
}

/** Keeps our fields unchanged, whatever an old form sends. */
function keep(
  data: Document,
  alt: AltField,
  originalDoc: Document | undefined,
  before: Stored | undefined,
  inLocale: boolean,
  req: PayloadRequest,
): Document {
  const kept = Object.fromEntries(
    [FIELD.state, FIELD.source, FIELD.score, FIELD.reason, FIELD.generated].map((name) => [
      name,
      valueAt(originalDoc, name) ?? null,
    ]),
  );
  const result = { ...data, ...kept };
  if (!inLocale || before === undefined) return result;
  const path = textPath(alt, req);
  return (valueAt(data, path) ?? "") === before.alt ? result : withValueAt(result, path, before.alt);
}

/** The path of the text in this request's data, which may hold all locales at once. */
function textPath(alt: AltField, req: PayloadRequest): string {
  const { locale } = siteOf(req.payload);
  return alt.isLocalized && req.locale === "all" && locale !== undefined ? `${alt.path}.${locale}` : alt.path;
}

const isWrittenLocale = (req: PayloadRequest, alt: AltField) => {
  const { locale } = siteOf(req.payload);
  return !alt.isLocalized || req.locale === locale || req.locale === "all";
};
