/** What the plugin knows about the running site. It is kept in the config's `custom`, which never reaches a browser. */

import type { Payload } from "payload";
import type { AltField } from "./alt-field.ts";
import type { Captioner } from "./captioner.ts";
import type { NameTurns } from "./name-turns.ts";
import type { Settings } from "./options.ts";

export interface Site {
  readonly settings: Settings;
  readonly captioner: Captioner;
  readonly nameTurns: NameTurns;
  /** The text field of every chosen collection, by its slug. */
  readonly altFields: ReadonlyMap<string, AltField>;
  /** The locale that is written if the text is localized; undefined on a site without locales. */
  readonly locale: string | undefined;
}

const KEY = "altTextEdge";

export const siteAsCustom = (site: Site) => ({ [KEY]: site });

/** A locale as Payload's calls take it. Without one, each call would fall back to the site's default locale. */
export interface InLocale {
  readonly fallbackLocale: false;
  readonly locale?: never;
}

export const withoutFallback = (locale: string | undefined): InLocale => ({
  fallbackLocale: false,
  ...(locale !== undefined && { locale: locale as never }),
});

/**
 * The locale in which the text is read and written, which every call must name. A text that is not localized is
 * written in the site's default locale, with the document's other texts.
 */
export function localeOf(payload: Payload, { isLocalized }: Pick<AltField, "isLocalized">): InLocale {
  return withoutFallback(isLocalized ? siteOf(payload).locale : undefined);
}

/**
 * All locales in which a document can be written, beginning with that of `localeOf`; a single undefined on a site
 * without locales.
 */
export function localesOf(
  payload: Payload,
  alt: Pick<AltField, "isLocalized">,
): readonly (string | undefined)[] {
  const { localization } = payload.config;
  if (!localization) return [undefined];
  const first = localeOf(payload, alt).locale ?? localization.defaultLocale;
  return [first, ...localization.localeCodes.filter((code) => code !== first)];
}

/** @throws Error if the plugin is not in the site's config */
export function siteOf(payload: Payload): Site {
  const site: unknown = payload.config.custom?.[KEY];
  if (site === undefined) throw new Error("altText is not among the plugins of this config.");
  return site as Site;
}
