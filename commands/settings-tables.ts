/** The tables of variables in docs/run.md, made from the schemas that check the variables. Pure text. */

import type * as z from "zod";
import { BackendVariables } from "../backend/config.ts";
import { WorkerVariables } from "../worker/config.ts";
import { withPart } from "./page-part.ts";
import { allowedOf, defaultOf, metaOf } from "./usage.ts";

const TABLES: Readonly<Record<string, z.core.$ZodObject>> = {
  backend: BackendVariables,
  worker: WorkerVariables,
};

/** `page` with its tables as the schemas have them now. @throws if the page has no place for one */
export function withSettingsTables(page: string): string {
  return Object.entries(TABLES).reduce(
    (text, [name, schema]) => withPart(text, `variables of the ${name}`, settingsTable(schema)),
    page,
  );
}

function settingsTable(variables: z.core.$ZodObject): string {
  const rows = Object.entries(variables._zod.def.shape).map(([name, schema]) => {
    const allowed = allowedOf(schema);
    const value = defaultOf(schema);
    const meaning = `${metaOf(schema).description ?? ""}${allowed === undefined ? "" : ` Allowed: ${allowed}.`}`;
    return `| \`${name}\` | ${value === undefined ? "" : `\`${value}\``} | ${meaning.replaceAll("|", "\\|")} |`;
  });
  return ["| variable | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}
