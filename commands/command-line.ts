/** What the commands share: options checked with clear errors, a progress line, a captioner without a server. */

import { type ParseArgsConfig, parseArgs } from "node:util";
import * as z from "zod";
import { BundleError } from "../backend/bundle/bundle.ts";
import { HubError } from "../backend/model/hub/hub-error.ts";
import { WeightError } from "../backend/model/weights/weights.ts";
import { LabelError } from "../evaluation/labels.ts";
import { printable } from "./terminal-text.ts";

/** Wrong use of a command: the message says what was expected. Ends with status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Something outside a command failed that its user can act on: the message says what. Ends with status 1. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

const EXPECTED_ERRORS = [UsageError, CommandError, LabelError, BundleError, WeightError, HubError];

/** Options and positional arguments of this process, checked by `schema`. @throws UsageError */
export function parseCommandLine<T>(
  usage: string,
  options: NonNullable<ParseArgsConfig["options"]>,
  schema: z.ZodType<T>,
): T {
  let parsed: { values: object; positionals: string[] };
  try {
    parsed = parseArgs({ options, allowPositionals: true });
  } catch (cause) {
    throw new UsageError(`${cause instanceof Error ? cause.message : cause}\n${usage}`, { cause });
  }
  const checked = schema.safeParse({ ...parsed.values, files: parsed.positionals });
  if (!checked.success) throw new UsageError(`${z.prettifyError(checked.error)}\n${usage}`);
  return checked.data;
}

/** Runs a command's body; expected errors print their message, wrong use ends with status 2, the rest with 1. */
export async function runCommand(body: () => Promise<number | undefined>): Promise<void> {
  try {
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    const expected = EXPECTED_ERRORS.some((kind) => error instanceof kind);
    console.error(expected ? printable((error as Error).message) : error);
    process.exitCode = error instanceof UsageError || error instanceof LabelError ? 2 : 1;
  }
}

/** A progress line on standard error with size and rate: rewritten in place on a terminal, elsewhere one a quarter. */
export function progressLine(label: string): (doneBytes: number, totalBytes: number) => void {
  const terminal = process.stderr.isTTY;
  const startedAt = performance.now();
  let shown = -1;
  return (done, total) => {
    const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
    if (percent === shown || (percent < shown + (terminal ? 1 : 25) && percent < 100)) return;
    shown = percent;
    const rate = done / 1e6 / Math.max(1e-3, (performance.now() - startedAt) / 1000);
    const line = `${label} ${percent}% of ${(total / 1e6).toFixed(0)} MB, ${rate.toFixed(0)} MB/s`;
    process.stderr.write(terminal ? `\r${line}\u001b[K${percent === 100 ? "\n" : ""}` : `${line}\n`);
  };
}
