/** Dashboard widget: how many pictures have no text and how many wait for a person. Each number links to its list. */

import type { CollectionSlug, PayloadRequest, Where, WidgetServerProps } from "payload";
import { formatAdminURL } from "payload/shared";
import { both, listFilter, missingWhere } from "../access.ts";
import { FIELD, type State } from "../names.ts";
import { siteOf } from "../site.ts";

interface Line {
  readonly label: string;
  readonly count: number;
  readonly href: string;
}

export async function AltTextWidget({ req }: WidgetServerProps) {
  const { altFields } = siteOf(req.payload);
  const lines = (
    await Promise.all(
      [...altFields].map(async ([slug, alt]) => {
        const name = labelOf(req, slug);
        const missing = missingWhere(alt);
        const shown = await listFilter(req, slug as CollectionSlug);
        return Promise.all([
          line(req, slug, `${name} without alt text`, missing, shown),
          line(req, slug, `${name} to review`, stateWhere("review"), shown),
          line(req, slug, `${name} whose file was replaced`, stateWhere("stale"), shown),
          line(req, slug, `${name} that could not be described`, stateWhere("failed"), shown),
        ]);
      }),
    )
  )
    .flat()
    .filter((one): one is Line => one !== undefined);
  if (lines.length === 0) return null;
  return (
    <section aria-label="Alt text" className="card" style={{ display: "block", height: "100%" }}>
      <h3 style={{ marginTop: 0 }}>Alt text</h3>
      <ul style={{ listStyle: "none", margin: 0, padding: 0 }}>
        {lines.map(({ label, count, href }) => (
          <li key={href}>
            <a href={href}>{`${label}: ${count}`}</a>
          </li>
        ))}
      </ul>
    </section>
  );
}

const stateWhere = (state: State): Where => ({ or: [{ and: [{ [FIELD.state]: { equals: state } }] }] });

function labelOf(req: PayloadRequest, slug: string): string {
  const plural: unknown = req.payload.collections[slug as CollectionSlug]?.config.labels.plural;
  return typeof plural === "string" ? plural : slug;
}

/** Undefined for a user who may not read the collection. */
async function line(
  req: PayloadRequest,
  slug: string,
  label: string,
  where: Where,
  /** What the linked list shows. */
  shown: Where | undefined,
): Promise<Line | undefined> {
  const { altFields, locale } = siteOf(req.payload);
  const counted = await req.payload
    .find({
      collection: slug as CollectionSlug,
      where: both(where, shown),
      // Counts drafts, as the linked list does.
      draft: true,
      select: {} as never,
      limit: 1,
      depth: 0,
      overrideAccess: false,
      req,
      ...(locale === undefined ? {} : { locale: locale as never }),
    })
    .catch(() => undefined);
  if (counted === undefined) return undefined;
  // Otherwise the list would show what is missing in the locale that this person has chosen.
  const inLocale = altFields.get(slug)?.isLocalized && locale !== undefined ? `&locale=${locale}` : "";
  const query = `${queryOf(where, "where")}${inLocale}`;
  const { config } = req.payload;
  const path = `/collections/${slug}?${query}` as const;
  return {
    label,
    count: counted.totalDocs,
    href: formatAdminURL({ adminRoute: config.routes.admin, includeBasePath: true, path, serverURL: "" }),
  };
}

/** A query as in Payload's address bar: `where[or][0][and][0][altState][equals]=review`. */
function queryOf(value: unknown, name: string): string {
  if (typeof value !== "object" || value === null) return `${name}=${encodeURIComponent(String(value))}`;
  return Object.entries(value)
    .map(([key, inner]) => queryOf(inner, `${name}[${key}]`))
    .join("&");
}
