/** The plugin's routes under the site's own API: suggestions for a form, and runs over many documents. */

import { rm } from "node:fs/promises";
import {
  APIError,
  addDataAndFileToRequest,
  type CollectionSlug,
  type Endpoint,
  type Payload,
  type PayloadRequest,
  type Where,
} from "payload";
import * as z from "zod";
import {
  both,
  chosenCollection,
  listFilter,
  missingSearches,
  requireCreate,
  type Search,
  updateAllowed,
  userOf,
} from "./access.ts";
import type { AltField } from "./alt-field.ts";
import type { Wording } from "./captioner.ts";
import { MAX_IDS_A_QUESTION, MAX_RUN_DOCUMENTS } from "./limits.ts";
import { RUNS_COLLECTION } from "./names.ts";
import type { Document } from "./paths.ts";
import { isPicture, storedPictures, uploadedBytes } from "./pictures.ts";
import { cancelRun, Run, startRun } from "./runs.ts";
import { siteOf } from "./site.ts";

const Id = z.union([z.string().min(1), z.number()]);
const SuggestRequest = z.object({ id: Id });
const RunRequest = z.union([
  z.strictObject({ ids: z.array(Id).min(1).max(MAX_RUN_DOCUMENTS) }),
  z.strictObject({ where: z.record(z.string(), z.unknown()) }),
  z.strictObject({ missing: z.literal(true) }),
]);

/** Ways to get different words for one picture: the usual one, a wider search, and two other beginnings. */
const WORDINGS: readonly Wording[] = [{}, { num_beams: 4 }, { prompt: "a photo of" }, { prompt: "there is" }];

/** An endpoint that answers with JSON; Payload's own handler renders errors. */
function endpoint(
  path: string,
  handle: (req: PayloadRequest) => Promise<{ status?: number; body: unknown }>,
): Endpoint {
  return {
    path,
    method: "post",
    handler: async (req) => {
      const { status = 200, body } = await handle(req).catch((error: unknown) => {
        // Payload names its errors by their classes, and hides the message of an error without a name. The classes of
        // a built site may have none.
        if (error instanceof Error && error.name === "") error.name = "Error";
        throw error;
      });
      return Response.json(body, { status, headers: { "cache-control": "no-store" } });
    },
  };
}

const badRequest = (message: string) => new APIError(message, 400, null, true);
const nothingHere = () => new APIError("There is nothing here.", 404, null, true);

async function suggest(req: PayloadRequest) {
  userOf(req);
  const { slug, alt } = chosenCollection(req, req.routeParams?.collection);
  const pictures = await picturesOf(req, slug);
  const { captioner } = siteOf(req.payload);
  const first = await captioner.describe(pictures, alt.maxLength);
  if (!first.ok) return { status: first.concerns === "service" ? 503 : 422, body: { message: first.reason } };
  const others = await Promise.all(
    WORDINGS.slice(1).map((wording) => captioner.describe(pictures, alt.maxLength, wording)),
  );
  const suggestions = [first, ...others].flatMap((described) =>
    described.ok
      ? [{ text: described.text, score: described.score, needsReview: described.needsReview }]
      : [],
  );
  const distinct = suggestions.filter(
    ({ text }, index) => suggestions.findIndex((other) => other.text === text) === index,
  );
  return { body: { suggestions: distinct } };
}

/** The picture in the request, or the stored picture of the document that the request names. */
async function picturesOf(req: PayloadRequest, slug: CollectionSlug) {
  const isForm = req.headers.get("content-type")?.startsWith("multipart/form-data") === true;
  if (isForm) await requireUpload(req, slug);
  await addDataAndFileToRequest(req);
  if (isForm) {
    const bytes = await uploadedBytes(req);
    if (req.file?.tempFilePath) await rm(req.file.tempFilePath, { force: true });
    if (bytes === undefined) throw badRequest('Expected a picture in the field "file".');
    return [bytes];
  }
  const parsed = SuggestRequest.safeParse(req.data);
  if (!parsed.success) throw badRequest('Expected a picture in the field "file", or the "id" of a document.');
  const allowed = await updateAllowed(req, slug, parsed.data.id);
  const document = await findOne(req, slug, both(allowed, { id: { equals: parsed.data.id } }));
  if (document === undefined) throw nothingHere();
  if (!isPicture(document.mimeType)) throw badRequest("This file is not a picture.");
  return storedPictures(req, slug, document).catch((error: unknown) => {
    req.payload.logger.warn({
      err: error,
      msg: `altText: cannot read the file of ${slug} ${parsed.data.id}`,
    });
    throw new APIError("The file cannot be read.", 422, null, true);
  });
}

/** Whoever may upload a file here, or replace the file of a document, may have a file described. */
async function requireUpload(req: PayloadRequest, slug: CollectionSlug): Promise<void> {
  try {
    await requireCreate(req, slug);
  } catch {
    await updateAllowed(req, slug);
  }
}

async function findOne(
  req: PayloadRequest,
  slug: CollectionSlug,
  where: Where,
): Promise<Document | undefined> {
  const { docs } = await req.payload.find({
    collection: slug,
    where,
    limit: 1,
    depth: 0,
    draft: true,
    overrideAccess: false,
    req,
  });
  return docs[0] as Document | undefined;
}

async function start(req: PayloadRequest) {
  const user = userOf(req);
  const { slug, alt } = chosenCollection(req, req.routeParams?.collection);
  const allowed = await updateAllowed(req, slug);
  await addDataAndFileToRequest(req);
  const parsed = RunRequest.safeParse(req.data);
  if (!parsed.success) throw badRequest('Expected one of "ids", "where" and "missing".');
  const { locale } = siteOf(req.payload);
  const ids = new Set<string | number>();
  // Whoever selects documents has seen them; everything else is what the list shows.
  const shown = "ids" in parsed.data ? undefined : await listFilter(req, slug);
  for (const { where, draft } of chosenBy(req.payload, slug, parsed.data, alt)) {
    const { docs, totalDocs } = await req.payload.find({
      collection: slug,
      where: both(allowed, shown, where),
      draft,
      select: {} as never,
      limit: MAX_RUN_DOCUMENTS,
      sort: "id",
      depth: 0,
      overrideAccess: false,
      // A filter applies to the locale that the person sees; a search for missing texts applies to the described one.
      ...("missing" in parsed.data && locale !== undefined ? { locale: locale as never } : {}),
      req,
    });
    if (totalDocs > MAX_RUN_DOCUMENTS) {
      throw badRequest(
        `A run takes at most ${MAX_RUN_DOCUMENTS} documents, but these are ${totalDocs}: narrow the filter.`,
      );
    }
    for (const { id } of docs) ids.add(id);
  }
  if (ids.size === 0) throw badRequest("There is nothing to describe.");
  const run = await startRun(req.payload, { target: slug, user, ids: [...ids] });
  return { status: 202, body: { run: { ...run, remaining: undefined } } };
}

/** The request as filters: a single one or, for ids, as many as are needed to keep each question small enough. */
function chosenBy(
  payload: Payload,
  slug: CollectionSlug,
  asked: z.output<typeof RunRequest>,
  alt: AltField,
): readonly Search[] {
  // A filter works as in the list, which shows the newest drafts.
  if ("where" in asked) return [{ where: asked.where as Where, draft: true }];
  if ("missing" in asked) return missingSearches(payload, slug, alt);
  const ids = [...new Set(asked.ids)];
  const questions = Math.ceil(ids.length / MAX_IDS_A_QUESTION);
  return Array.from({ length: questions }, (_, index) => ({
    where: { id: { in: ids.slice(index * MAX_IDS_A_QUESTION, (index + 1) * MAX_IDS_A_QUESTION) } },
    draft: false,
  }));
}

async function cancel(req: PayloadRequest) {
  userOf(req);
  const id = Id.parse(req.routeParams?.id);
  const { docs } = await req.payload.find({
    collection: RUNS_COLLECTION as CollectionSlug,
    where: { id: { equals: id } },
    limit: 1,
    depth: 0,
    overrideAccess: false,
    req,
  });
  const run = docs[0] === undefined ? undefined : Run.parse(docs[0]);
  if (run === undefined) throw nothingHere();
  if (run.status === "running") await cancelRun(req.payload, run.id);
  return { body: { status: run.status === "running" ? "cancelled" : run.status } };
}

export const endpoints: readonly Endpoint[] = [
  endpoint("/alt-text/runs/:id/cancel", cancel),
  endpoint("/alt-text/:collection/suggest", suggest),
  endpoint("/alt-text/:collection/runs", start),
];
