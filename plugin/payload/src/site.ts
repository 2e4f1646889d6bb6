/** What the plugin knows of the running site, kept in its config's `custom`, which never reaches a browser. */

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
  /** Locale that is written where the text is localized; undefined on a site without locales. */
  readonly locale: string | undefined;
}

const KEY = "altTextEdge";

export const siteAsCustom = (site: Site) => ({ [KEY]: site });

/** A locale as Payload's calls take it: without one, each would fall back to the site's default locale. */
export interface InLocale {
  readonly fallbackLocale: false;
  readonly locale?: never;
}

export const withoutFallback = (locale: string | undefined): InLocale => ({
  fallbackLocale: false,
  ...(locale !== undefined && { locale: locale as never }),
});

/**
 * In which locale the text is read and written, to be said with every call. A text that has one for all is written in the
 * site's default locale, where the document's other texts are.
 */
export function localeOf(payload: Payload, { isLocalized }: Pick<AltField, "isLocalized">): InLocale {
  return withoutFallback(isLocalized ? siteOf(payload).locale : undefined);
}

/** All locales in which a document can be written, that of `localeOf` first; one undefined on a site without locales. */
export function localesOf(
  payload: Payload,
  alt: Pick<AltField, "isLocalized">,
): readonly (string | undefined)[] {
  const { localization } = payload.config;
  if (!localization) return [undefined];
  const first = localeOf(payload, alt).locale ?? localization.defaultLocale;
  return [first, ...localization.localeCodes.filter((code) => code !== first)];
}

/** @throws Error where the plugin is not in the site's config */
export function siteOf(payload: Payload): Site {
  const site: unknown = payload.config.custom?.[KEY];
  if (site === undefined) throw new Error("altText is not among the plugins of this config.");
  return site as Site;
}
