/** What happens when a document of an upload collection is saved. An upload never fails because of the captioner. */

import {
  type CollectionAfterChangeHook,
  type CollectionBeforeChangeHook,
  type CollectionBeforeOperationHook,
  type CollectionConfig,
  type CollectionSlug,
  Forbidden,
  isolateObjectProperty,
  type PayloadRequest,
} from "payload";
import type { AltField } from "./alt-field.ts";
import { decideText } from "./decide-text.ts";
import { DESCRIBE_QUEUE, DESCRIBE_TASK, FIELD } from "./names.ts";
import { type Document, valueAt } from "./paths.ts";
import { fileMark, isPicture } from "./pictures.ts";
import {
  ChangedMeanwhileError,
  type Intent,
  intentIn,
  takeMachineWrite,
  withIntent,
  withoutIntent,
} from "./save-intent.ts";
import { localeOf, siteOf } from "./site.ts";
import { sentOf, storedOf } from "./stored.ts";

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

/** Records what was really sent, because Payload fills in what a request leaves out before later hooks see it. */
function rememberIntent(alt: AltField): CollectionBeforeOperationHook {
  return async ({ args, operation, collection, req, context, overrideAccess }) => {
    if (operation !== "create" && operation !== "update") return args;
    if (takesTurn(req, overrideAccess)) await takeTurn(req, collection.slug, req.file.name);
    const { data, autosave, id } = args as { data?: Document; autosave?: boolean; id?: unknown };
    const write = takeMachineWrite(context, { collection: collection.slug, id });
    const locale = alt.isLocalized ? siteOf(req.payload).locale : undefined;
    const intent: Intent =
      write === undefined
        ? {
            kind: "sent",
            // Code with the site's own rights is no person who has read the text: a storage saves the whole document
            // again once it has the file.
            sent: sentOf(data, alt.path, locale, autosave !== true && overrideAccess !== true),
            bringsPicture: req.file !== undefined || valueAt(req.query, "uploadEdits.crop") !== undefined,
          }
        : { kind: "machine", write };
    return { ...args, data: withIntent(data, intent) };
  };
}

/**
 * Whether a save brings a picture and may wait for its description. A save without a user takes no turn, because
 * its access is checked later: if it were then refused, it would have kept others waiting.
 */
const takesTurn = (
  req: PayloadRequest,
  overrideAccess: boolean | undefined,
): req is PayloadRequest & { file: NonNullable<PayloadRequest["file"]> } =>
  isPicture(req.file?.mimetype) &&
  siteOf(req.payload).settings.inlineTimeoutMs > 0 &&
  (overrideAccess === true || Boolean(req.user));

/** The last check before a description is written: are the text and the file still the ones that were read? */
function guardMachineWrite(alt: AltField): CollectionBeforeChangeHook {
  return async ({ data: given, originalDoc, collection, req }) => {
    const intent = intentIn(given);
    if (intent?.kind !== "machine" || originalDoc === undefined) return given;
    const { write } = intent;
    const data = withoutIntent(given);
    const { locale } = siteOf(req.payload);
    // A value that a field's own access rejects is silently left out.
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
      // The call sets the request's locale, but the save under way must keep its own.
      req: isolateObjectProperty(req, ["locale", "fallbackLocale"]),
    });
    const stored = storedOf(now, alt.path, locale);
    const isSame =
      stored.alt === write.expectedAlt &&
      fileMark(now) === write.expectedFile &&
      now?._status === write.expectedStatus;
    if (!isSame || stored.decorative) throw new ChangedMeanwhileError();
    return data;
  };
}

/** The turn of a request. A storage's own hook may have dropped the request's file by the time that the turn ends. */
const turns = new WeakMap<PayloadRequest, { readonly slug: string; readonly fileName: string }>();

async function takeTurn(req: PayloadRequest, slug: string, fileName: string): Promise<void> {
  await siteOf(req.payload).nameTurns.take(slug, fileName);
  turns.set(req, { slug, fileName });
}

function endTurn(req: PayloadRequest, slug: string): void {
  const turn = turns.get(req);
  if (turn?.slug !== slug) return;
  turns.delete(req);
  siteOf(req.payload).nameTurns.end(slug, turn.fileName);
}

const queueDescription: CollectionAfterChangeHook = async (save) => {
  const { doc, collection, req } = save;
  endTurn(req, collection.slug);
  if (!startsToWait(save)) return doc;
  // Passing the request puts the job into the upload's own transaction.
  await req.payload.jobs.queue({
    task: DESCRIBE_TASK as never,
    queue: DESCRIBE_QUEUE,
    input: { collection: collection.slug, id: String(doc.id), attempt: 0 } as never,
    req,
  });
  return doc;
};

/**
 * Whether a save leaves a picture waiting for which no job is under way: a new file, one restored from the trash,
 * or a version from a time when it was waiting.
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
