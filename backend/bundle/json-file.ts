/** JSON files of models and bundles: checked by a schema when read, and written atomically. */

import { randomUUID } from "node:crypto";
import { constants, copyFile, link, readFile, rename, rm, writeFile } from "node:fs/promises";
import * as z from "zod";

/** The error class that the caller wants thrown. */
type FileErrorClass = new (message: string, options?: ErrorOptions) => Error;

/**
 * How a Git LFS pointer begins, which git leaves in place of a large file that was not fetched.
 * https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
 */
const GIT_LFS_POINTER = "version https://git-lfs.github.com/spec/v1";

/** Advice for a file that begins with `head`, if that is a Git LFS pointer. */
export function gitLfsAdvice(path: string, head: string): string | undefined {
  return head.startsWith(GIT_LFS_POINTER)
    ? `${path} is a Git LFS pointer, not the file itself: run 'git lfs pull' in its repository, or download the file again.`
    : undefined;
}

/** Writes `value` to a temporary file and renames it, so that readers find either the old file or the new one. */
export async function writeJsonFile(path: string, value: unknown): Promise<void> {
  const partial = await writeBeside(path, value);
  await removedOnFailure(partial, rename(partial, path));
}

/** Like `writeJsonFile`, but only if the file does not exist yet. Resolves with whether it was written. */
export async function createJsonFile(path: string, value: unknown): Promise<boolean> {
  const partial = await writeBeside(path, value);
  try {
    // A rename would replace a file that another process has written meanwhile. Some file systems have no hard links.
    await link(partial, path).catch(() => copyFile(partial, path, constants.COPYFILE_EXCL));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(partial);
  }
}

/** Writes a temporary file beside `path`, and resolves with its path. */
async function writeBeside(path: string, value: unknown): Promise<string> {
  // A process id would not do: in two containers that share a folder, both processes have the id 1.
  const partial = `${path}.partial-${randomUUID()}`;
  await removedOnFailure(partial, writeFile(partial, `${JSON.stringify(value, null, 2)}\n`));
  return partial;
}

/** Removes the temporary file if `work` fails: on a full disk, every attempt would leave another one behind. */
async function removedOnFailure(partial: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

/**
 * Reads and checks the JSON file at `path`. A byte order mark is ignored.
 * @throws FileError naming the file, the place in it if known, and what to do
 */
export async function readJsonFile<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  FileError: FileErrorClass,
): Promise<z.infer<Schema>> {
  let text: string;
  try {
    text = (await readFile(path, "utf8")).replace(/^\uFEFF/, "");
  } catch (cause) {
    throw new FileError(`${path} cannot be read (${(cause as NodeJS.ErrnoException).code}).`, { cause });
  }
  const advice = gitLfsAdvice(path, text);
  if (advice !== undefined) throw new FileError(advice);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : "";
    throw new FileError(
      `${path} is damaged or cut short: it is not JSON (${reason}). Fetch or write it again.`,
      {
        cause,
      },
    );
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new FileError(`${path} cannot be used:\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
