/** Reads and sets a document's values by the path of a field, e.g. `seo.alt`. */

export type Document = Record<string, unknown>;

function isDocument(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at `path`; undefined if a group on the way is absent. */
export function valueAt(document: unknown, path: string): unknown {
  let value = document;
  for (const name of path.split(".")) value = isDocument(value) ? value[name] : undefined;
  return value;
}

/** The value at `path` in one locale of a document that holds all locales, in the field itself or a group around it. */
export function valueInLocale(document: unknown, path: string, locale: string): unknown {
  let value = document;
  for (const name of path.split(".")) {
    value = valueAt(value, name);
    if (isDocument(value) && locale in value) value = value[locale];
  }
  return value;
}

/** A copy of `document` with the value at `path`; the groups on the way are copied, everything else is shared. */
export function withValueAt(document: Document, path: string, value: unknown): Document {
  const [name = "", ...rest] = path.split(".");
  const inner = document[name];
  return {
    ...document,
    [name]: rest.length === 0 ? value : withValueAt(isDocument(inner) ? inner : {}, rest.join("."), value),
  };
}
