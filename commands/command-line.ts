/** How every command begins and ends: options checked with clear errors, `--help`, errors in words, exit statuses. */

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

/** What a command's body gets. */
export interface Given<Options extends z.ZodObject, Arguments extends z.ZodType> {
  readonly options: z.output<Options>;
  readonly arguments: z.output<Arguments>;
}

interface RunOptions {
  readonly argv?: readonly string[];
  /** The command has an end of its own at signals. */
  readonly keepsSignals?: boolean;
}

/**
 * Runs a command of this process: `--help` prints its page and ends with 0, expected errors print their message, wrong use
 * ends with status 2, the rest with 1, an interruption with 128 and the signal's number. What is registered for the
 * process's exit, such as taking away half a bundle, is done in each case.
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

/** What `parseArgs` says of a piece of the command line. */
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
  // Of others the last counts, as everywhere.
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
 * A path as the user wrote it: npm runs scripts in the project's folder and keeps in INIT_CWD where the user stands.
 * https://docs.npmjs.com/cli/commands/npm-run
 * @throws UsageError for an empty one, as a variable of the shell without a value leaves it: it would be the folder where the
 * user stands, with all that is in it
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
  return `This is a bug of this command.\n${printable(error instanceof Error ? error.stack : error)}`;
}

/** By default a signal ends the process without a word to what is registered for its exit. */
function endOnSignals(): void {
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
}

/** Whoever reads has enough, as in `| head`; or the disk is full that standard output goes to, as in `> captions.txt`. */
function endWhereNothingCanBeWritten(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    console.error(describe(error));
    process.exit(1);
  });
  process.stderr.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
}
