/**
 * The cache that all Hugging Face tools share: blobs by their hash, snapshots of links to them, one folder a repository.
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */

import { randomUUID } from "node:crypto";
import { access, mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { RemoteFile, Repository } from "./repository.ts";

export interface RepositoryCache {
  /** Folder in which the files of a commit lie under their own names. */
  snapshot(commit: string): string;
  blobPath(file: RemoteFile): string;
  hasBlob(file: RemoteFile): Promise<boolean>;
  /** Makes the file appear in the commit's snapshot. */
  link(commit: string, file: RemoteFile): Promise<void>;
  /** Notes which commit the revision means, as other tools do. */
  rememberCommit(revision: string, commit: string): Promise<void>;
}

export function openRepositoryCache(cacheFolder: string, { id }: Repository): RepositoryCache {
  const root = join(cacheFolder, `models--${id.replaceAll("/", "--")}`);
  const snapshot = (commit: string) => join(root, "snapshots", commit);
  const blobPath = ({ digest }: RemoteFile) => join(root, "blobs", digest.hex);
  return {
    snapshot,
    blobPath,
    hasBlob: (file) =>
      access(blobPath(file)).then(
        () => true,
        () => false,
      ),
    async link(commit, file) {
      const path = join(snapshot(commit), file.path);
      await mkdir(dirname(path), { recursive: true });
      // At once in the place of an older one, as another process may do the same.
      const next = `${path}.${randomUUID()}.new`;
      await symlink(relative(dirname(path), blobPath(file)), next);
      await rename(next, path);
    },
    async rememberCommit(revision, commit) {
      const path = join(root, "refs", revision);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, commit);
    },
  };
}
