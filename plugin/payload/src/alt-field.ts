/** Finds the text field of an upload collection, wherever it is, and decorates it. */

import type { Field, PayloadRequest, TextareaField, TextField } from "payload";
import { text, textarea } from "payload/shared";
import { ALT_CHARACTERS } from "./limits.ts";
import { FIELD, PACKAGE } from "./names.ts";
import { type Document, valueAt, withValueAt } from "./paths.ts";

/** What the rest of the plugin knows about a collection's text field. */
export interface AltField {
  /** Path in the document, e.g. `seo.alt`. */
  readonly path: string;
  readonly isLocalized: boolean;
  /** Undefined if the site sets none. */
  readonly maxLength: number | undefined;
  /** Who may write the field, if the site restricts that for the field itself. */
  readonly access: TextLike["access"];
  /** Whether the site's own validation of the field accepts this text. */
  accepts(text: string, of: Validated): Promise<boolean>;
}

/** Why a picture stays without the text that was generated. */
export const REFUSED_BY_SITE = "The site's own validation rejects the generated text.";

/** What a validation is told in addition to the text. */
export interface Validated {
  readonly req: PayloadRequest;
  readonly collection: string;
  readonly document: Document;
  readonly operation: "create" | "update";
}

type TextLike = TextField | TextareaField;

interface Decoration {
  readonly slug: string;
  readonly name: string;
  readonly locale: string | undefined;
  /** Whether the site has locales; without them Payload ignores `localized`. */
  readonly hasLocales: boolean;
  /** Whether the plugin is switched on; if not, the field is left as the site has it. */
  readonly isEnabled: boolean;
}

const LEFT_EMPTY = " If left empty, it is generated.";

/**
 * The collection's fields with the text field decorated, or with one added in front if there is none. Looks inside
 * tabs, rows, collapsibles and groups, but not inside lists, because the field of a list stands for many texts.
 * @throws Error if the field of that name is not a text, or must be unique
 */
export function withAltField(
  fields: readonly Field[],
  decoration: Decoration,
): { readonly fields: Field[]; readonly alt: AltField } {
  const found: AltField[] = [];
  const decorated = decorateIn(fields, { ...decoration, prefix: "", isLocalized: false, found });
  const [alt] = found;
  if (alt !== undefined) return { fields: decorated, alt };
  const { name: path, isEnabled } = decoration;
  const added: TextareaField = {
    name: path,
    type: "textarea",
    label: "Alt text",
    admin: {
      description: `What the picture shows, for readers who cannot see it.${isEnabled ? LEFT_EMPTY : ""}`,
    },
  };
  return {
    fields: [decorate(added, { ...decoration, path, isLocalized: false }), ...fields],
    alt: altFieldOf(added, { path, isLocalized: false, maxLength: undefined }),
  };
}

interface Search extends Decoration {
  readonly prefix: string;
  readonly isLocalized: boolean;
  readonly found: AltField[];
}

function decorateIn(fields: readonly Field[], search: Search): Field[] {
  return fields.map((field) => {
    if (search.found.length > 0) return field;
    if (field.type === "tabs") {
      const tabs = field.tabs.map((tab) => ({ ...tab, fields: decorateIn(tab.fields, within(search, tab)) }));
      return { ...field, tabs } as Field;
    }
    if (field.type === "row" || field.type === "collapsible") {
      return { ...field, fields: decorateIn(field.fields, search) };
    }
    if (field.type === "group")
      return { ...field, fields: decorateIn(field.fields, within(search, field)) } as Field;
    if (!("name" in field) || field.name !== search.name) return field;
    if ((field.type !== "text" && field.type !== "textarea") || ("hasMany" in field && field.hasMany)) {
      throw new Error(
        `altText: expected the field "${field.name}" of "${search.slug}" to be a text or textarea with one value, got ${field.type}.`,
      );
    }
    if (search.isEnabled && field.unique === true) {
      throw new Error(
        `altText: expected the field "${field.name}" of "${search.slug}" not to be unique: two pictures may show the same thing, and then the second could not be saved.`,
      );
    }
    const path = search.prefix + field.name;
    const isLocalized = search.hasLocales && (search.isLocalized || field.localized === true);
    const maxLength = usableLength(field, search.slug);
    search.found.push(altFieldOf(field, { path, isLocalized, maxLength }));
    return decorate(field, { ...search, path, isLocalized });
  });
}

function within(search: Search, group: object): Search {
  const name = "name" in group && typeof group.name === "string" ? group.name : undefined;
  const isLocalized = search.isLocalized || ("localized" in group && group.localized === true);
  return { ...search, isLocalized, prefix: name === undefined ? search.prefix : `${search.prefix}${name}.` };
}

function altFieldOf(field: TextLike, place: Pick<AltField, "path" | "isLocalized" | "maxLength">): AltField {
  const { path } = place;
  return {
    ...place,
    access: field.access,
    async accepts(value, { req, collection, document, operation }) {
      const data = withValueAt(document, path, value);
      // Asks the way Payload itself does when a document is saved.
      const result = await ownValidation(field)(value, {
        ...field,
        id: document.id,
        blockData: undefined,
        collectionSlug: collection,
        data,
        event: "submit",
        operation,
        path: path.split("."),
        preferences: { fields: {} },
        previousValue: valueAt(document, path),
        req,
        siblingData: path.includes(".") ? valueAt(data, path.slice(0, path.lastIndexOf("."))) : data,
      });
      return result === true;
    },
  };
}

function usableLength({ maxLength, name }: TextLike, slug: string): number | undefined {
  if (maxLength !== undefined && maxLength < ALT_CHARACTERS.min) {
    throw new Error(
      `altText: expected the field "${name}" of "${slug}" to take at least ${ALT_CHARACTERS.min} characters, got maxLength ${maxLength}.`,
    );
  }
  return maxLength;
}

function decorate(
  field: TextLike,
  at: Decoration & { readonly path: string; readonly isLocalized: boolean },
): Field {
  if (!at.isEnabled) return field;
  const tools = {
    path: `${PACKAGE}/client#AltTools`,
    clientProps: { altPath: at.path, slug: at.slug, writtenLocale: at.isLocalized ? at.locale : undefined },
  };
  const note = at.isLocalized ? `Generated in English, for the locale "${at.locale}" only.` : undefined;
  return {
    ...field,
    admin: {
      ...field.admin,
      ...(note === undefined ? {} : { description: described(field.admin?.description, note) }),
      components: {
        ...field.admin?.components,
        afterInput: [...(field.admin?.components?.afterInput ?? []), tools],
      },
    },
    validate: emptyWhereAllowed(field, at.isLocalized ? at.locale : undefined),
  } as Field;
}

/** Adds the note to a plain text; any other description stays as it is. */
function described<T>(description: T | string | undefined, note: string): T | string {
  if (description === undefined || description === "") return note;
  return typeof description === "string" ? `${description} ${note}` : description;
}

type Validation = (value: unknown, options: unknown) => true | string | Promise<true | string>;

const ownValidation = (field: TextLike) =>
  (field.validate ?? (field.type === "text" ? text : textarea)) as Validation;

const IN_PLACE_OF_TEXT: ReadonlySet<unknown> = new Set(["pending", "failed"]);

/**
 * The field's own validation, except that a required text may be missing for a good reason: it is still to come, it
 * cannot come, or the picture is decorative. The column stays NOT NULL, so the text is then an empty string. In a
 * locale other than the written one no text will come, so the exception does not apply there.
 */
function emptyWhereAllowed(field: TextLike, writtenLocale: string | undefined): TextLike["validate"] {
  const own = ownValidation(field);
  return ((
    value: unknown,
    options: {
      data?: Record<string, unknown>;
      operation?: string;
      event?: string;
      req?: { locale?: string | null };
    },
  ) => {
    const isEmpty = value === undefined || value === null || value === "";
    // A form that has not been sent yet does not know what the upload will bring.
    const isBeforeUpload = options.operation === "create" && options.event === "onChange";
    const state = options.data?.[FIELD.state];
    const isWritten = writtenLocale === undefined || options.req?.locale === writtenLocale;
    const mayBeEmpty = state === "decorative" || (isWritten && IN_PLACE_OF_TEXT.has(state));
    if (isEmpty && (mayBeEmpty || isBeforeUpload)) return true;
    return own(value, options);
  }) as TextLike["validate"];
}
