/**
 * Makes the page that `--help` prints from a command's own schema: every option with its meaning, range and default. Prints
 * nothing itself.
 */

import * as z from "zod";

/** A schema of either zod or zod/mini. */
type Schema = z.core.$ZodType;

/** How a command is called, and what it takes. */
export interface Command<Options extends z.ZodObject = z.ZodObject, Arguments extends z.ZodType = z.ZodType> {
  /** As it is typed, without its options: `npm run -s caption -- FILE...`. */
  readonly invocation: string;
  /** What it does, in a sentence or two. */
  readonly summary: string;
  /** The arguments besides the options. */
  readonly arguments: Arguments;
  /** Each has `describe`, or `meta` with a `value` such as DIR, the placeholder after its name. */
  readonly options: Options;
  /** Options that take one value only, although somebody could want several. */
  readonly once?: readonly string[];
  /** Example lines to type. */
  readonly examples: readonly [string, ...string[]];
  /** Notes that belong to no single option. */
  readonly notes?: string;
}

const WIDTH = 110;
const INDENT = 28;

/** The page of a command. */
export function usageOf({ invocation, summary, options, examples, notes }: Command): string {
  const rows = Object.entries(options.shape).map(([name, schema]) => optionRow(name, schema));
  const help = row("--help", "This page.");
  return [
    `Usage: ${invocation} [options]`,
    "",
    wrapped(summary, 0),
    "",
    ...rows,
    help,
    ...(notes === undefined ? [] : ["", wrapped(notes, 0)]),
    "",
    examples.length > 1 ? "Examples:" : "Example:",
    ...examples.map((example) => `  ${example}`),
  ].join("\n");
}

/** Whether an option takes no value. */
export function isFlag(schema: Schema): boolean {
  return layersOf(schema).some((layer) => layer instanceof z.core.$ZodBoolean);
}

function optionRow(name: string, schema: Schema): string {
  const { value } = metaOf(schema);
  const head = isFlag(schema) ? `--${name}` : `--${name} ${value ?? placeholder(schema)}`;
  return row(
    head,
    [metaOf(schema).description, rangeOf(schema), defaultText(schema)].filter(Boolean).join(" "),
  );
}

function row(head: string, text: string): string {
  const lead = `  ${head}`.padEnd(INDENT);
  const body = wrapped(text, INDENT);
  return lead.length > INDENT ? `${lead}\n${body}` : `${lead}${body.trimStart()}`;
}

/** Lines of at most `WIDTH` characters, each after `indent` spaces. */
function wrapped(text: string, indent: number): string {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    // Rows of a table are not wrapped.
    if (paragraph.startsWith(" ")) {
      lines.push(paragraph);
      continue;
    }
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && indent + line.length + 1 + word.length > WIDTH) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines.map((line) => " ".repeat(line === "" ? 0 : indent) + line).join("\n");
}

const Meta = z.object({
  description: z.string().optional(),
  value: z.string().optional(),
  /** Printed in place of a default that differs between machines. */
  default: z.string().optional(),
});

/** The outermost description wins: that of the option over that of the schema it is made from. */
export function metaOf(schema: Schema): z.infer<typeof Meta> {
  const metas = layersOf(schema).map((layer) => Meta.parse(z.globalRegistry.get(layer) ?? {}));
  const meta: z.infer<typeof Meta> = Object.assign({}, ...metas.reverse());
  return meta.description === undefined ? meta : { ...meta, description: sentence(meta.description) };
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** The default of an option; undefined if it has none. */
export function defaultOf(schema: Schema): string | undefined {
  const { default: said } = metaOf(schema);
  const layer = layersOf(schema).find((one) => one instanceof z.core.$ZodDefault);
  const value = layer?._zod.def.defaultValue;
  return said ?? (value === undefined || value === "" ? undefined : String(value));
}

function defaultText(schema: Schema): string | undefined {
  const value = defaultOf(schema);
  return value === undefined || isFlag(schema) ? undefined : `Default: ${value}.`;
}

/** Choices or bounds, if there are any. */
export function allowedOf(schema: Schema): string | undefined {
  for (const layer of layersOf(schema)) {
    if (layer instanceof z.core.$ZodEnum) {
      return choicesOf(layer)
        .map((choice) => `\`${choice}\``)
        .join(", ");
    }
    const { low } = boundsOf(layer);
    if (low !== undefined) return rangeOf(layer)?.slice(0, -1) ?? `${low} or more`;
  }
  return undefined;
}

function rangeOf(schema: Schema): string | undefined {
  for (const layer of layersOf(schema)) {
    const { low, high } = boundsOf(layer);
    if (low !== undefined && high !== undefined) return `${low} to ${high}.`;
  }
  return undefined;
}

/** The bounds of a number; zod's own bounds of whole numbers are left out, because they say nothing. */
function boundsOf(layer: Schema): { low: number | undefined; high: number | undefined } {
  if (!(layer instanceof z.core.$ZodNumber)) return { low: undefined, high: undefined };
  const { minimum, maximum } = z.toJSONSchema(layer);
  const said = (bound = Infinity) => (Math.abs(bound) < Number.MAX_SAFE_INTEGER ? bound : undefined);
  return { low: said(minimum), high: said(maximum) };
}

const choicesOf = (layer: z.core.$ZodEnum): string[] => Object.values(layer._zod.def.entries).map(String);

function placeholder(schema: Schema): string {
  for (const layer of layersOf(schema)) {
    if (layer instanceof z.core.$ZodEnum) return choicesOf(layer).join("|");
    if (layer instanceof z.core.$ZodNumber) return "N";
  }
  return "TEXT";
}

/** A schema and what it wraps: optional, default, and the ends of a pipe. */
function layersOf(schema: Schema): Schema[] {
  if (
    schema instanceof z.core.$ZodOptional ||
    schema instanceof z.core.$ZodDefault ||
    schema instanceof z.core.$ZodNullable
  ) {
    return [schema, ...layersOf(schema._zod.def.innerType)];
  }
  if (schema instanceof z.core.$ZodPipe) {
    return [schema, ...layersOf(schema._zod.def.in), ...layersOf(schema._zod.def.out)];
  }
  return [schema];
}
