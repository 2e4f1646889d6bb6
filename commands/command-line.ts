/** How every command begins and ends: checked options with clear errors, `--help`, errors in words, exit statuses. */

import { constants } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type * as z from "zod";
import { BundleError } from "../backend/bundle/bundle.ts";
import { DeviceError } from "../backend/engines/onnx/device.ts";
import { HubError } from "../backend/model/hub/hub-error.ts";
import { WeightError } from "../backend/model/weights/weights.ts";
import { NoDecoderError } from "../backend/picture/in-process-decoder.ts";
import { MeasurementError } from "../bench/report.ts";
import { LabelError } from "../evaluation/labels.ts";
import { NoChromiumError } from "../local/chromium.ts";
import { describeIssues, describeSystemError } from "./error-text.ts";
import { printable } from "./terminal-text.ts";
import { type Command, isFlag, usageOf } from "./usage.ts";

/** Wrong use of a command: the message says what was expected. Ends with status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Something outside a command failed that its user can act on: the message says what. Ends with status 1. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

const EXPECTED_ERRORS = [
  UsageError,
  CommandError,
  MeasurementError,
  LabelError,
  BundleError,
  DeviceError,
  WeightError,
  HubError,
  NoChromiumError,
  NoDecoderError,
];

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What a command's body receives. */
export interface Given<Options extends z.ZodObject, Arguments extends z.ZodType> {
  readonly options: z.output<Options>;
  readonly arguments: z.output<Arguments>;
}

interface RunOptions {
  readonly argv?: readonly string[];
  /** The command handles signals itself. */
  readonly keepsSignals?: boolean;
}

/**
 * Runs a command of this process: `--help` prints its page and ends with 0, expected errors print their message, wrong use
 * ends with status 2, other errors with 1, an interruption with 128 plus the signal's number. Handlers of the process's
 * exit, such as the removal of half a bundle, run in each case.
 */
export async function runCommand<Options extends z.ZodObject, Arguments extends z.ZodType>(
  command: Command<Options, Arguments>,
  body: (given: Given<Options, Arguments>) => Promise<number | undefined>,
  { argv = process.argv.slice(2), keepsSignals = false }: RunOptions = {},
): Promise<void> {
  if (!keepsSignals) endOnSignals();
  endWhereNothingCanBeWritten();
  try {
    if (asksForHelp(argv)) console.log(usageOf(command));
    else process.exitCode = (await body(parseCommandLine(command, argv))) ?? 0;
  } catch (error) {
    const isUsage = error instanceof UsageError || error instanceof LabelError;
    console.error(describe(error));
    if (error instanceof UsageError) console.error(`See: ${command.invocation.split(" --")[0]} -- --help`);
    process.exitCode = isUsage ? 2 : 1;
  }
}

/** What `parseArgs` says about a piece of the command line. */
interface Token {
  readonly kind: string;
  readonly name?: string;
  readonly value?: string | undefined;
}

/** Options and arguments, checked. @throws UsageError */
export function parseCommandLine<Options extends z.ZodObject, Arguments extends z.ZodType>(
  command: Command<Options, Arguments>,
  argv: readonly string[],
): Given<Options, Arguments> {
  const kinds = Object.entries(command.options.shape).map(
    ([name, schema]) => [name, { type: isFlag(schema) ? "boolean" : "string" } as const] as const,
  );
  let parsed: { values: object; positionals: string[]; tokens: readonly Token[] };
  try {
    parsed = parseArgs({
      args: [...argv],
      options: Object.fromEntries(kinds),
      allowPositionals: true,
      tokens: true,
    });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(message.replace(/\. To specify a positional argument.*/s, "."), { cause });
  }
  // For other options the last value counts, as everywhere.
  for (const name of command.once ?? []) {
    const given = new Set(parsed.tokens.filter((token) => token.name === name).map(({ value }) => value));
    if (given.size > 1) throw new UsageError(`--${name} is given more than once`);
  }
  const options = command.options.safeParse(parsed.values, { reportInput: true });
  const given = command.arguments.safeParse(parsed.positionals, { reportInput: true });
  if (options.success && given.success) return { options: options.data, arguments: given.data };
  const issues = [
    ...(given.error?.issues ?? []).map((issue) => ({ ...issue, path: [] })),
    ...(options.error?.issues ?? []),
  ];
  throw new UsageError(describeIssues(issues));
}

/**
 * A path as the user wrote it: npm runs scripts in the project's folder, and INIT_CWD holds the user's current folder.
 * https://docs.npmjs.com/cli/commands/npm-run
 * @throws UsageError for an empty path, as an unset shell variable leaves it, because it would mean the whole current
 * folder
 */
export function userPath(path: string): string {
  if (path === "") throw new UsageError("a path is empty: expected the name of a file or folder");
  const startedByNpm = resolve(process.cwd()) === resolve(ROOT) && process.env.INIT_CWD !== undefined;
  return resolve(startedByNpm ? (process.env.INIT_CWD ?? "") : "", path);
}

function asksForHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return argv.slice(0, end === -1 ? undefined : end).some((arg) => arg === "--help" || arg === "-h");
}

function describe(error: unknown): string {
  if (EXPECTED_ERRORS.some((kind) => error instanceof kind)) return printable((error as Error).message);
  const words = describeSystemError(error);
  if (words !== undefined) return printable(words);
  return `This is a bug in this command.\n${printable(error instanceof Error ? error.stack : error)}`;
}

/** By default a signal ends the process without running the handlers of its exit. */
function endOnSignals(): void {
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
}

/**
 * Ends the process when output has nowhere to go: its reader has enough, as in `| head`, or its disk is full, as in
 * `> captions.txt`.
 */
function endWhereNothingCanBeWritten(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    console.error(describe(error));
    process.exit(1);
  });
  process.stderr.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
}
