/** Writes a bundle to a temporary folder and then moves it into place. Never replaces anything but a bundle. */

import { existsSync, renameSync, rmSync } from "node:fs";
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { BundleError, MANIFEST_FILE } from "../bundle/bundle.ts";

/** Names of a bundle's files, and of what a process leaves behind if it is killed while it writes one of them. */
const BUNDLE_FILE =
  /^((bundle|fastest-dtype)\.json(\.partial-[\w-]+)?|vocab\.txt|model(\.\w+)?\.onnx(\.data)?)$/;

/**
 * Resolves if `folder` is free for a bundle: absent, empty, or a bundle and nothing else. Call it before expensive
 * work for that folder begins.
 * @throws BundleError naming what lies there
 */
export async function requireReplaceable(folder: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      const isLink = await lstat(folder).then(
        () => true,
        () => false,
      );
      if (!isLink) return;
      throw new BundleError(
        `${folder} is a link to something that does not exist. Create the folder that it leads to.`,
        {
          cause,
        },
      );
    }
    if (code === "ENOTDIR")
      throw new BundleError(`${folder} is a file. Name a folder for the bundle.`, { cause });
    throw new BundleError(`${folder} cannot be read (${code}). Name another folder for the bundle.`, {
      cause,
    });
  }
  if (await isMounted(folder)) {
    throw new BundleError(
      `${folder} is a mounted disk or volume, which cannot be replaced. Name a folder within it for the bundle.`,
    );
  }
  const foreign = names.filter((name) => !BUNDLE_FILE.test(name));
  const isBundle = names.includes(MANIFEST_FILE) && foreign.length === 0;
  if (names.length === 0 || isBundle) return;
  const [example = names[0]] = foreign;
  throw new BundleError(
    `${folder} is neither empty nor a bundle: it holds '${example}'. Nothing was changed; name another folder.`,
  );
}

async function isMounted(folder: string): Promise<boolean> {
  const path = await realpath(folder);
  const [own, parent] = await Promise.all([stat(path), stat(dirname(path))]);
  return own.dev !== parent.dev;
}

/**
 * Runs `write` in a temporary folder and, once it is complete, moves the result to `folder`. Until then, and if
 * `write` fails or the process exits, `folder` stays as it was.
 * @throws BundleError if `folder` holds anything but a bundle
 */
export async function replaceBundleFolder<T>(
  folder: string,
  write: (partial: string) => Promise<T>,
): Promise<T> {
  await requireReplaceable(folder);
  const out = await realpath(folder).catch(() => resolve(folder));
  await mkdir(dirname(out), { recursive: true });
  const before = await inodeOf(out);
  const partial = await mkdtemp(`${out}.partial-`);
  const replaced = `${partial}-replaced`;
  let isHalfGone = false;
  const putBack = () => {
    if (isHalfGone) rmSync(out, { recursive: true, force: true });
    if (!existsSync(out) && existsSync(replaced)) renameSync(replaced, out);
    for (const unfinished of [partial, replaced]) rmSync(unfinished, { recursive: true, force: true });
  };
  process.on("exit", putBack);
  try {
    const written = await write(partial);
    // Temporary folders are private, but a bundle is for whoever runs the server.
    await chmod(partial, 0o755);
    // Files may have appeared while the bundle was written.
    await requireReplaceable(out);
    await rename(partial, out).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      // Another process may have built the same bundle meanwhile and be reading it; replaced, it would be missing
      // for a moment.
      if ((await inodeOf(out)) !== before && (await haveSameManifest(partial, out))) return;
      await rename(out, replaced).catch(async (error: NodeJS.ErrnoException) => {
        // A folder from a container's image cannot be renamed. https://docs.kernel.org/filesystems/overlayfs.html
        if (error.code !== "EXDEV") throw error;
        await cp(out, replaced, { recursive: true });
        isHalfGone = true;
        await rm(out, { recursive: true });
        isHalfGone = false;
      });
      await rename(partial, out);
    });
    return written;
  } finally {
    putBack();
    process.off("exit", putBack);
  }
}

/** Identifies the folder that is there; undefined if there is none. */
function inodeOf(folder: string): Promise<number | undefined> {
  return stat(folder).then(
    ({ ino }) => ino,
    () => undefined,
  );
}

async function haveSameManifest(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all(
    [one, other].map((folder) => readFile(join(folder, MANIFEST_FILE), "utf8").catch(() => undefined)),
  );
  return a !== undefined && a === b;
}
