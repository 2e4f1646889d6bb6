/** Decides who may do what, by the site's own access functions. Every endpoint goes through here. */

import {
  APIError,
  type CollectionSlug,
  executeAccess,
  Forbidden,
  type Payload,
  type PayloadRequest,
  type TypedUser,
  type Where,
} from "payload";
import type { AltField } from "./alt-field.ts";
import { FIELD } from "./names.ts";
import { siteOf } from "./site.ts";

/** What the site's access functions allow this user: everything, nothing, or what a query matches. */
export type Allowed = boolean | Where;

/** The user of a request. @throws APIError 401 if nobody is logged in */
export function userOf(req: PayloadRequest): TypedUser {
  if (req.user === null || req.user === undefined) throw new APIError("Log in first.", 401, null, true);
  return req.user;
}

/** The chosen collection of this name. @throws APIError 404 for any other, without saying anything about it */
export function chosenCollection(
  req: PayloadRequest,
  slug: unknown,
): { slug: CollectionSlug; alt: AltField } {
  const alt = typeof slug === "string" ? siteOf(req.payload).altFields.get(slug) : undefined;
  if (alt === undefined) throw new APIError("There is nothing here.", 404, null, true);
  return { slug: slug as CollectionSlug, alt };
}

/** @throws Forbidden if the site lets this user change nothing in the collection */
export async function updateAllowed(
  req: PayloadRequest,
  slug: CollectionSlug,
  id?: number | string,
): Promise<Allowed> {
  const access = req.payload.collections[slug]?.config.access.update;
  if (access === undefined) throw new Forbidden(req.t);
  const allowed = await executeAccess(
    { ...(id === undefined ? {} : { id }), disableErrors: true, req },
    access,
  );
  if (allowed === false) throw new Forbidden(req.t);
  return allowed;
}

/** @throws Forbidden if the site does not let this user upload here */
export async function requireCreate(req: PayloadRequest, slug: CollectionSlug): Promise<void> {
  const access = req.payload.collections[slug]?.config.access.create;
  if (access === undefined) throw new Forbidden(req.t);
  await executeAccess({ req }, access);
}

export const both = (...wheres: readonly (Allowed | undefined)[]): Where => ({
  and: wheres.filter((where): where is Where => typeof where === "object"),
});

/**
 * What the admin panel's lists leave out for this person although they may read it, such as what belongs to other
 * tenants than the chosen one.
 */
export async function listFilter(req: PayloadRequest, slug: CollectionSlug): Promise<Where | undefined> {
  const { baseFilter, baseListFilter } = req.payload.collections[slug]?.config.admin ?? {};
  const filter = baseFilter ?? baseListFilter;
  return (await filter?.({ limit: 0, page: 1, sort: "id", req })) ?? undefined;
}

/** A search for documents, among the published versions or the newest drafts. */
export interface Search {
  readonly where: Where;
  readonly draft: boolean;
}

/**
 * The searches that together find what has no text: in the newest drafts, and in published versions. A document from
 * before the site had drafts is only found by the latter. What is not published is left to its draft, because only
 * that is described.
 */
export function missingSearches(payload: Payload, slug: string, alt: AltField): readonly Search[] {
  const where = missingWhere(alt);
  const { versions } = payload.collections[slug as CollectionSlug]?.config ?? {};
  if (!versions?.drafts) return [{ where, draft: false }];
  return [
    { where: both(where, { _status: { not_equals: "draft" } }), draft: false },
    { where, draft: true },
  ];
}

/** Matches documents of pictures that have no text and are not decorative, in the form of the list view's filters. */
export function missingWhere({ path }: AltField): Where {
  const rest: Where[] = [
    { mimeType: { contains: "image/" } },
    { mimeType: { not_equals: "image/svg+xml" } },
    { [FIELD.decorative]: { not_equals: true } },
  ];
  return {
    or: [{ and: [{ [path]: { exists: false } }, ...rest] }, { and: [{ [path]: { equals: "" } }, ...rest] }],
  };
}
