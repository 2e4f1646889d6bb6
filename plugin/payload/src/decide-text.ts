/** What a save makes of the text: what is kept, refused or set, or described while an upload waits. */

import {
  type CollectionBeforeValidateHook,
  type CollectionSlug,
  isolateObjectProperty,
  type PayloadRequest,
  ValidationError,
} from "payload";
import { type AltField, REFUSED_BY_SITE, type Validated } from "./alt-field.ts";
import { DECORATIVE_LABEL, FIELD } from "./names.ts";
import { type Document, valueAt, withValueAt } from "./paths.ts";
import { isPicture, sha256Of, uploadedBytes, uploadedPictures } from "./pictures.ts";
import { type Saved, type Stored, saveOf } from "./provenance.ts";
import { intentIn, withoutIntent } from "./save-intent.ts";
import { localeOf, siteOf } from "./site.ts";
import { letThrough, stateFieldsOf, storedOf } from "./stored.ts";

/** The hook that puts text and state into the data of a save, by what was sent and what is stored. */
export function decideText(alt: AltField): CollectionBeforeValidateHook {
  return async ({ data: given, originalDoc, operation, collection, req }) => {
    const intent = given && intentIn(given);
    if (given === undefined) return given;
    // A copy and a version that is restored bring their own fields; a write of our own has decided already.
    if (intent === undefined && operation === "update") return restored(given, originalDoc);
    if (intent?.kind !== "sent") return given;
    const data = withoutIntent(given);
    const bytes = await uploadedBytes(req);
    const hash = bytes === undefined ? undefined : sha256Of(bytes);
    const isCreate = operation === "create";
    const isNewFile = (isCreate || intent.bringsPicture) && isReplaced({ data, originalDoc, hash, isCreate });
    const inLocale = isWrittenLocale(req, alt);
    // Payload has put empty groups into the original of a document that is none yet.
    const original = isCreate && isNewFile ? undefined : originalDoc;
    const before = await storedBefore(req, collection.slug, alt, original, inLocale);
    const sent = letThrough(intent.sent, data, before, alt.path, siteOf(req.payload).locale);
    // The save writes its own locale only, and could not empty the text.
    if (!inLocale && sent.decorative === true && before?.alt)
      throw markRefused(
        req,
        `There is alt text in the locale "${siteOf(req.payload).locale}": mark it there.`,
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

/** States of a text that is there, and says what the picture shows. */
const OF_PICTURE: ReadonlySet<unknown> = new Set(["generated", "review", "described"]);

/** A version that is restored; where the person's rights leave the file as it is, its words may be of another one. */
function restored(data: Document, originalDoc: Document | undefined): Document {
  const hash = valueAt(originalDoc, FIELD.hash);
  const isOtherFile = data.filename !== originalDoc?.filename || data.filesize !== originalDoc?.filesize;
  if (isOtherFile || typeof hash !== "string" || data[FIELD.hash] === hash) return data;
  const state = OF_PICTURE.has(data[FIELD.state]) ? "stale" : data[FIELD.state];
  return { ...data, [FIELD.hash]: hash, [FIELD.state]: state };
}

/** A new file: not the same bytes once more. */
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
  inLocale: boolean,
): Promise<Stored | undefined> {
  if (originalDoc === undefined) return undefined;
  const { locale } = siteOf(req.payload);
  const id = originalDoc.id as number | string | undefined;
  // What is copied from another document has no id.
  if (inLocale || locale === undefined || id === undefined) return storedOf(originalDoc, alt.path, locale);
  return (await storedNow(req, collection, alt, id)) ?? storedOf(originalDoc, alt.path, locale);
}

/** What the database has of the locale that is described; undefined where the document is gone. */
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
    // The call sets the request's locale; the save that is under way keeps its own.
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
    // The text field holds another locale otherwise: it is that editor's, and stays.
    return inLocale ? withValueAt(result, textPath(alt, req), stored.alt) : result;
  };
  if (saved.kind === "set") return put(saved.stored);
  const operation = before === undefined ? "create" : "update";
  const of = { req, collection, document: { ...originalDoc, ...data }, operation } as const;
  const described = await describedNow({ saved: saved.stored, data, alt, of, bytes, inLocale });
  // While this save waited somebody else may have saved words.
  const id = originalDoc?.id as number | string | undefined;
  const now =
    before === undefined || id === undefined ? undefined : await storedNow(req, collection, alt, id);
  const again = now === undefined ? saved : decide(now);
  return put(again.kind === "set" ? again.stored : described);
}

/** Where Payload saves by itself, and in bulk, it shows of an error its label only. */
function markRefused(req: PayloadRequest, message: string): ValidationError {
  const label = `${DECORATIVE_LABEL} (${message})`;
  return new ValidationError({ errors: [{ path: FIELD.decorative, label, message }], req }, req.t);
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

/** Where the text stands in the data of this request, which may hold all locales at once. */
function textPath(alt: AltField, req: PayloadRequest): string {
  const { locale } = siteOf(req.payload);
  return alt.isLocalized && req.locale === "all" && locale !== undefined ? `${alt.path}.${locale}` : alt.path;
}

const isWrittenLocale = (req: PayloadRequest, alt: AltField) => {
  const { locale } = siteOf(req.payload);
  return !alt.isLocalized || req.locale === locale || req.locale === "all";
};
