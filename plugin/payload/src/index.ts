/** The plugin: what it adds to a site's config. It extends existing lists, and replaces nothing. */

import path from "node:path";
import { fileURLToPath } from "node:url";
import type { CollectionConfig, Config, Plugin } from "payload";
import { type AltField, withAltField } from "./alt-field.ts";
import { createCaptioner } from "./captioner.ts";
import { endpoints } from "./endpoints.ts";
import { stateFields } from "./fields.ts";
import { withHooks } from "./hooks.ts";
import { createNameTurns } from "./name-turns.ts";
import { PACKAGE, WIDGET } from "./names.ts";
import { type AltTextOptions, parseOptions, type Settings } from "./options.ts";
import { runTask } from "./run-task.ts";
import { startRunner } from "./runner.ts";
import { runsCollection } from "./runs.ts";
import { siteAsCustom } from "./site.ts";
import { describeTask } from "./task.ts";
import { turnsCollection } from "./turns.ts";

export type { AltTextOptions } from "./options.ts";

/**
 * Alt text for every picture that is uploaded, by the caption API at `endpoint`.
 *
 * @example
 * plugins: [altText({ endpoint: "https://captions.example.org", apiKey: process.env.CAPTIONS_KEY, collections: ["media"] })]
 * @throws Error that names the option, collection or field and what was expected, when the config is built
 */
export function altText(options: AltTextOptions): Plugin {
  const settings = parseOptions(options);
  return (config) => {
    const locale = writtenLocale(config, settings);
    const altFields = new Map<string, AltField>();
    const collections = (config.collections ?? []).map((collection) => {
      const chosen = settings.collections.find(({ slug }) => slug === collection.slug);
      if (chosen === undefined) return collection;
      if (!collection.upload)
        throw new Error(`altText: expected "${chosen.slug}" to be an upload collection.`);
      const { fields, alt } = withAltField(collection.fields, {
        slug: chosen.slug,
        name: chosen.field,
        locale,
        hasLocales: Boolean(config.localization),
        isEnabled: settings.enabled,
      });
      if (alt.isLocalized && locale === undefined) throw noEnglish(config);
      altFields.set(collection.slug, alt);
      const states = stateFields(alt, settings.enabled && alt.isLocalized ? locale : undefined);
      return decorated(collection, [...fields, ...states], alt, settings.enabled);
    });
    for (const { slug } of settings.collections) {
      if (!altFields.has(slug)) throw new Error(`altText: there is no collection "${slug}" in this config.`);
    }
    const withSchema: Config = {
      ...config,
      collections: [...collections, runsCollection, turnsCollection],
      jobs: { ...config.jobs, tasks: [...(config.jobs?.tasks ?? []), describeTask, runTask] },
    };
    if (!settings.enabled) return withSchema;
    const nameTurns = createNameTurns(settings.inlineTimeoutMs);
    const site = { settings, captioner: createCaptioner(settings), nameTurns, altFields, locale };
    return {
      ...withSchema,
      custom: { ...config.custom, ...siteAsCustom(site) },
      endpoints: [...(config.endpoints ?? []), ...endpoints],
      bin: [...(config.bin ?? []), { key: "alt-text", scriptPath: backfillScript() }],
      jobs: { ...withSchema.jobs, ...runners(config, settings) },
      admin: { ...config.admin, dashboard: withWidget(config) },
    };
  };
}

function decorated(
  collection: CollectionConfig,
  fields: CollectionConfig["fields"],
  alt: AltField,
  isEnabled: boolean,
): CollectionConfig {
  const withFields = { ...collection, fields };
  if (!isEnabled) return withFields;
  const components = collection.admin?.components;
  return {
    ...withFields,
    hooks: withHooks(collection, alt),
    admin: {
      ...collection.admin,
      components: {
        ...components,
        beforeListTable: [
          ...(components?.beforeListTable ?? []),
          { path: `${PACKAGE}/client#RunBar`, clientProps: { slug: collection.slug } },
        ],
      },
    },
  };
}

/** The locale that is written. Captions are English, so it is the named locale or else the first English one. */
function writtenLocale({ localization }: Config, settings: Settings): string | undefined {
  if (!localization) return undefined;
  const codes = localization.locales.map((locale) => (typeof locale === "string" ? locale : locale.code));
  if (settings.locale !== undefined && !codes.includes(settings.locale)) {
    throw new Error(`altText: expected "locale" to be one of ${codes.join(", ")}, got "${settings.locale}".`);
  }
  return settings.locale ?? codes.find((code) => /^en\b/i.test(code));
}

function noEnglish({ localization }: Config): Error {
  const codes = localization
    ? localization.locales.map((locale) => (typeof locale === "string" ? locale : locale.code))
    : [];
  return new Error(
    `altText: captions are English, and none of the locales ${codes.join(", ")} is: choose one of them as "locale".`,
  );
}

/** The site's own runners plus ours: when Payload starts the former, it starts the latter too. */
function runners({ jobs }: Config, { runner }: Settings): Pick<NonNullable<Config["jobs"]>, "autoRun"> {
  if (runner === false) return {};
  return {
    autoRun: async (payload) => {
      startRunner(payload, runner);
      return typeof jobs?.autoRun === "function" ? await jobs.autoRun(payload) : (jobs?.autoRun ?? []);
    },
  };
}

function withWidget({ admin }: Config): NonNullable<NonNullable<Config["admin"]>["dashboard"]> {
  const widget = {
    slug: WIDGET,
    label: "Alt text",
    Component: `${PACKAGE}/rsc#AltTextWidget`,
    minWidth: "small",
  } as const;
  return { ...admin?.dashboard, widgets: [...(admin?.dashboard?.widgets ?? []), widget] };
}

/**
 * Lies beside this file, as source or built. The path is put together from strings, so that no bundler includes the
 * script.
 */
function backfillScript(): string {
  const here = fileURLToPath(import.meta.url);
  return path.join(path.dirname(here), `backfill${path.extname(here)}`);
}
