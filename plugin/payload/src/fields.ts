/**
 * The fields beside the text. The server fills in all but the decorative mark, and ignores what a request sends for
 * them.
 */

import type { Field, FieldHook } from "payload";
import type { AltField } from "./alt-field.ts";
import { DECORATIVE_LABEL, FIELD, PACKAGE, SOURCE_LABELS, SOURCES, STATE_LABELS, STATES } from "./names.ts";
import { valueInLocale } from "./paths.ts";

const HIDDEN = {
  hidden: true,
  disableBulkEdit: true,
  disableListColumn: true,
  disableListFilter: true,
} as const;

/** Not in the form, where the text field shows it, but available as a column and a filter of the list. */
const LISTED = { ...HIDDEN, disableListColumn: false, disableListFilter: false } as const;

/** States in which there is a text. */
const WITH_TEXT: ReadonlySet<unknown> = new Set(["review", "generated", "described", "stale"]);

const writeAccess = ({ create, update }: NonNullable<AltField["access"]>) => ({
  ...(create === undefined ? {} : { create }),
  ...(update === undefined ? {} : { update }),
});

/**
 * `access` is the text field's. Whoever may not write the text may not empty it by the mark either, and whoever may
 * not read it may not read what the model said. `locale` is the one that is written; undefined if the text is not
 * localized, or if nothing is written.
 */
export function stateFields({ access, path }: AltField, locale: string | undefined): Field[] {
  // A copy of some locales may lack the text. Then it waits for one of its own, like a new picture.
  const inCopy = (withoutText: (value: unknown) => unknown) => {
    const beforeDuplicate: FieldHook = ({ data, value }) => {
      if (locale === undefined) return value;
      const text = valueInLocale(data, path, locale);
      return typeof text === "string" && text !== "" ? value : withoutText(value);
    };
    return { hooks: { beforeDuplicate: [beforeDuplicate] } };
  };
  const emptyInCopy = inCopy(() => null);
  return [
    {
      name: FIELD.decorative,
      type: "checkbox",
      label: DECORATIVE_LABEL,
      ...(access === undefined ? {} : { access: writeAccess(access) }),
      admin: {
        position: "sidebar",
        // The state shows it already, and for a document from before the plugin Payload's list would show "general:null".
        disableListColumn: true,
        description:
          "Adds nothing that a reader would miss: its alt text stays empty, here and in every run.",
      },
    },
    {
      name: FIELD.state,
      type: "select",
      label: "Alt text state",
      index: true,
      options: STATES.map((value) => ({ value, label: STATE_LABELS[value] })),
      ...inCopy((state) => (WITH_TEXT.has(state) ? "pending" : state)),
      admin: {
        position: "sidebar",
        readOnly: true,
        disableBulkEdit: true,
        components: { Cell: `${PACKAGE}/client#StateCell` },
      },
    } as Field,
    {
      name: FIELD.source,
      type: "select",
      label: "Alt text comes from",
      options: SOURCES.map((value) => ({ value, label: SOURCE_LABELS[value] })),
      ...emptyInCopy,
      admin: LISTED,
    },
    {
      name: FIELD.score,
      type: "number",
      label: "Alt text score",
      ...emptyInCopy,
      admin: LISTED,
    },
    { name: FIELD.reason, type: "text", admin: HIDDEN },
    {
      name: FIELD.generated,
      type: "textarea",
      ...(access?.read === undefined ? {} : { access: { read: access.read } }),
      ...emptyInCopy,
      admin: HIDDEN,
    },
    { name: FIELD.hash, type: "text", admin: HIDDEN },
    { name: FIELD.suggestion, type: "json", virtual: true, admin: HIDDEN },
  ];
}
