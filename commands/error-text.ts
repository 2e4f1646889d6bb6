/** Puts errors into words: what was wrong with an option, and what the operating system refused. Prints nothing itself. */

import type * as z from "zod";
import { expectation } from "../shared/expectation.ts";

/** What a schema found wrong with a command's options, one line each. */
export function describeIssues(issues: readonly z.core.$ZodIssue[]): string {
  return issues.map(describeIssue).join("\n");
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const [name] = issue.path;
  const option = typeof name === "string" ? `--${name}` : undefined;
  if (issue.code === "invalid_type" && issue.input === undefined) {
    return option === undefined ? issue.message : `${option} is missing`;
  }
  const expected = expectation(issue);
  return option === undefined ? expected : `${option}: ${expected}${got(issue.input)}`;
}

function got(input: unknown): string {
  return typeof input === "string" || (typeof input === "number" && !Number.isNaN(input))
    ? `; got ${input}`
    : "";
}

/** Refusals of the operating system that a user can do something about. https://nodejs.org/api/errors.html#common-system-errors */
const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  EACCES: "no permission",
  EADDRINUSE: "the port is in use",
  EADDRNOTAVAIL: "this machine has no such address",
  EBUSY: "it is in use, for example as a mounted disk",
  EDQUOT: "the disk quota is used up",
  EIO: "the disk cannot be read or written there",
  EISDIR: "it is a folder, and a file was expected",
  ELOOP: "its links lead in a circle",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "the name is too long",
  ENOENT: "there is no such file or folder",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of the path is a file, and a folder was expected",
  EPERM: "no permission",
  EROFS: "the disk is read-only",
};

/** Node says ENOENT if it cannot make a folder and its parents, even if the reason is a read-only disk. */
const NO_FOLDER_MADE = "the folder cannot be made: the disk is read-only, or a link there leads nowhere";

/** A refusal of the operating system in words; undefined for any other error. */
export function systemErrorWords(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" && syscall === "mkdir") return NO_FOLDER_MADE;
  return SYSTEM_ERRORS[String(code)];
}

/** Throws the error that reading `path` was refused with, and adds the path, because for a folder Node does not name it. */
export const naming =
  (path: string) =>
  (error: unknown): never => {
    if (systemErrorWords(error) !== undefined) (error as NodeJS.ErrnoException).path ??= path;
    throw error;
  };

/** The same, with the path or the port that the error was about. */
export function describeSystemError(error: unknown): string | undefined {
  const words = systemErrorWords(error);
  if (words === undefined) return undefined;
  const { dest, path, address, port } = error as NodeJS.ErrnoException & {
    readonly dest?: string;
    readonly address?: string;
    readonly port?: number;
  };
  const about = dest ?? path ?? (port === undefined ? undefined : `${address ?? ""}:${port}`);
  return about === undefined ? `${words.charAt(0).toUpperCase()}${words.slice(1)}.` : `${about}: ${words}.`;
}
