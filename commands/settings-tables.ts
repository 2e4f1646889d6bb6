/** The tables of variables in docs/run.md, made from the schemas that check the variables. Pure text. */

import type * as z from "zod";
import { BackendVariables } from "../backend/config.ts";
import { WorkerVariables } from "../worker/config.ts";
import { allowedOf, defaultOf, metaOf } from "./usage.ts";

const TABLES: Readonly<Record<string, z.ZodObject>> = {
  backend: BackendVariables,
  worker: WorkerVariables,
};

const begin = (name: string) => `<!-- variables of the ${name}: npm run docs:write -->`;
const END = "<!-- end -->";

/** `page` with its tables as the schemas have them now. @throws where the page has no place for one */
export function withSettingsTables(page: string): string {
  return Object.entries(TABLES).reduce((text, [name, schema]) => {
    const from = text.indexOf(begin(name));
    const to = text.indexOf(END, from);
    if (from === -1 || to === -1) throw new Error(`The page has no place for the variables of the ${name}.`);
    return `${text.slice(0, from)}${begin(name)}\n${settingsTable(schema)}\n${text.slice(to)}`;
  }, page);
}

function settingsTable({ shape }: z.ZodObject): string {
  const rows = Object.entries(shape).map(([name, schema]) => {
    const type = schema as z.ZodType;
    const allowed = allowedOf(type);
    const value = defaultOf(type);
    const meaning = `${metaOf(type).description ?? ""}${allowed === undefined ? "" : ` Allowed: ${allowed}.`}`;
    return `| \`${name}\` | ${value === undefined ? "" : `\`${value}\``} | ${meaning.replaceAll("|", "\\|")} |`;
  });
  return ["| variable | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}
