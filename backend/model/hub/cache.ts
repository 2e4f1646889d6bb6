/**
 * The cache that all Hugging Face tools share. Each repository has a folder, with blobs named by their hashes and
 * snapshots made of links to them.
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */

import { randomUUID } from "node:crypto";
import {
  access,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { COMMIT, type RemoteFile, type Repository } from "./repository.ts";

export interface RepositoryCache {
  /** Folder in which a commit's files lie under their own names. */
  snapshot(commit: string): string;
  blobPath(file: RemoteFile): string;
  /** Whether the blob is there in full size; after a power cut a file may have its name but not its bytes. */
  hasBlob(file: RemoteFile): Promise<boolean>;
  /** Makes the file appear in the commit's snapshot. */
  link(commit: string, file: RemoteFile): Promise<void>;
  /** Records which commit the revision means, as other tools do. */
  rememberCommit(revision: string, commit: string): Promise<void>;
  /** The commit that the revision meant when the hub was last asked; undefined if it never was. */
  rememberedCommit(revision: string): Promise<string | undefined>;
  /** Names of the files in the commit's snapshot, without those in subfolders. */
  list(commit: string): Promise<string[]>;
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

export function openRepositoryCache(cacheFolder: string, { id }: Repository): RepositoryCache {
  const root = join(cacheFolder, `models--${id.replaceAll("/", "--")}`);
  const snapshot = (commit: string) => join(root, "snapshots", commit);
  const blobPath = ({ digest }: RemoteFile) => join(root, "blobs", digest.hex);
  return {
    snapshot,
    blobPath,
    hasBlob: (file) =>
      stat(blobPath(file)).then(
        ({ size }) => size === file.size,
        () => false,
      ),
    async link(commit, file) {
      const path = join(snapshot(commit), file.path);
      await mkdir(dirname(path), { recursive: true });
      // Renamed over an older link, because another process may be doing the same.
      const next = `${path}.${randomUUID()}.new`;
      // Some disks, such as those with exFAT, and some network folders have no links; huggingface_hub copies there too.
      await symlink(relative(dirname(path), blobPath(file)), next).catch(() =>
        copyFile(blobPath(file), next),
      );
      await rename(next, path);
    },
    async rememberCommit(revision, commit) {
      const path = join(root, "refs", revision);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, commit);
    },
    async rememberedCommit(revision) {
      if (COMMIT.test(revision)) return revision;
      const commit = (await readFile(join(root, "refs", revision), "utf8").catch(() => "")).trim();
      return COMMIT.test(commit) ? commit : undefined;
    },
    async list(commit) {
      const names = await readdir(snapshot(commit)).catch(() => []);
      // The target of a link may be gone.
      const lies = await Promise.all(names.map((name) => exists(join(snapshot(commit), name))));
      return names.filter((_, i) => lies[i]);
    },
  };
}
