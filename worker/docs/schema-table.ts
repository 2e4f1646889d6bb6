/** JSON Schemas as tables of fields. */

import { html } from "hono/html";
import { type Parameter, Schema } from "./document.ts";
import { type Html, prose, scrolling } from "./html.ts";

interface Field {
  readonly name: string;
  readonly schema: Schema;
  readonly notes: readonly string[];
}

export function parameterTable(parameters: readonly Parameter[], label: string): Html {
  const fields = parameters.map(({ name, in: place, required, schema }) => ({
    name,
    schema,
    notes: [place, ...(required ? ["required"] : [])],
  }));
  return table(fields, label);
}

/** The fields of an object, or of each object that it may be. */
export function fieldTables(schema: Schema, label: string): Html[] {
  const kinds = variants(schema);
  if (kinds.length > 0) {
    return kinds.flatMap((kind) => [
      ...(kind.$ref === undefined ? [] : [html`<p>As ${typeOf(kind)}.</p>`]),
      ...fieldTables(kind, label),
    ]);
  }
  const fields = Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    schema: Schema.parse(property),
    notes: schema.required?.includes(name) === true ? ["required"] : [],
  }));
  return fields.length > 0 ? [table(fields, label)] : [];
}

const variants = ({ oneOf = [], anyOf = [] }: Schema) =>
  [...oneOf, ...anyOf].map((kind) => Schema.parse(kind));

function table(fields: readonly Field[], label: string): Html {
  const rows = fields.map(
    ({ name, schema, notes }) =>
      html`<tr><th scope="row"><code>${name}</code></th><td>${typeOf(schema)}${
        notes.length > 0 ? ` (${notes.join(", ")})` : ""
      }</td><td>${prose(schema.description ?? "")}</td></tr>`,
  );
  return scrolling(
    label,
    html`<table><thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Meaning</th></tr></thead><tbody>${rows}</tbody></table>`,
  );
}

/** The values that a schema accepts, in a few words. */
function typeOf(schema: Schema): Html {
  if (schema.$ref !== undefined) return link(schema.$ref);
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (schema.enum !== undefined) {
    // Codes of problems are all in one table.
    if (schema.enum.length > 10) return html`one of <a href="#errors">the codes</a>`;
    return html`${schema.enum.map((value, i) => html`${i === 0 ? "" : " or "}<code>${JSON.stringify(value)}</code>`)}`;
  }
  const kinds = [...variants(schema), ...(schema.allOf ?? []).map((kind) => Schema.parse(kind))];
  if (kinds.length > 0) return html`${kinds.map((kind, i) => html`${i === 0 ? "" : " or "}${typeOf(kind)}`)}`;
  if (schema.type === "array") return html`list of ${typeOf(Schema.parse(schema.items ?? {}))}`;
  const { minimum, maximum } = schema;
  const isCount = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER;
  const range = minimum === undefined || isCount ? "" : `, ${minimum} to ${maximum}`;
  return html`${[schema.type ?? "any JSON"].flat().join(" or ")}${range}`;
}

export function link(reference: string): Html {
  const name = reference.split("/").at(-1) ?? "";
  return html`<a href="#${name}">${name}</a>`;
}
