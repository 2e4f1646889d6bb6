/** Turns `OWNER/NAME@REVISION` into a folder of files on disk, through the shared cache. */

import { mkdir, statfs } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { ModelFolder } from "../weights/model-folder.ts";
import { openRepositoryCache, type RepositoryCache } from "./cache.ts";
import { createHubClient } from "./client.ts";
import type { HubConfig } from "./config.ts";
import { downloadFile } from "./download.ts";
import { HubError } from "./hub-error.ts";
import { chooseFiles, type ModelRole, type Repository } from "./repository.ts";

export interface FetchModelOptions {
  readonly repository: Repository;
  readonly role: ModelRole;
  readonly config: HubConfig;
  /** Called with the bytes on disk so far and in total, for the whole model. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  /** Free bytes on the disk that holds `folder`. */
  readonly freeBytes?: (folder: string) => Promise<number>;
}

/**
 * Fetches the files that a bundle needs, except those in the cache; offline it fetches nothing.
 * @throws HubError with what to do
 */
export async function fetchModel({
  repository,
  role,
  config,
  onProgress,
  freeBytes = freeBytesOf,
}: FetchModelOptions): Promise<ModelFolder> {
  const cache = openRepositoryCache(config.cache, repository);
  if (config.offline) return findModel(repository, role, cache);
  const client = createHubClient(config);
  const commit = await client.resolveCommit(repository);
  const files = chooseFiles(repository, role, await client.listFiles(repository, commit));

  const missing = [];
  for (const file of files) if (!(await cache.hasBlob(file))) missing.push(file);
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  await mkdir(config.cache, { recursive: true });
  const free = await freeBytes(config.cache);
  if (total > free) {
    throw new HubError(
      `${repository.id} needs ${megabytes(total)} in ${config.cache}, where ${megabytes(free)} are free. ` +
        "Make room, or set HF_HOME to a folder on a larger disk.",
    );
  }

  let done = 0;
  for (const file of missing) {
    await downloadFile({
      file,
      path: cache.blobPath(file),
      read: (offset) => client.read(repository, commit, file.path, offset),
      onBytes(bytes) {
        done += bytes;
        onProgress(done, total);
      },
      sleep,
    });
  }
  for (const file of files) await cache.link(commit, file);
  await cache.rememberCommit(repository.revision, commit);
  return { id: repository.id, folder: cache.snapshot(commit) };
}

/** Finds the model in the cache. */
async function findModel(
  repository: Repository,
  role: ModelRole,
  cache: RepositoryCache,
): Promise<ModelFolder> {
  const { id, revision } = repository;
  const commit = await cache.rememberedCommit(revision);
  const paths = commit === undefined ? [] : await cache.list(commit);
  const advice =
    "HF_HUB_OFFLINE is set: fetch it once without that, or copy the cache of a machine that has it.";
  if (commit === undefined || paths.length === 0) {
    throw new HubError(`${id} at revision ${revision} is not in the cache. ${advice}`);
  }
  try {
    chooseFiles(
      repository,
      role,
      paths.map((path) => ({ path })),
    );
  } catch (cause) {
    if (!(cause instanceof HubError)) throw cause;
    throw new HubError(`${id} is incomplete in the cache. ${advice}\n  ${cause.message}`, { cause });
  }
  return { id, folder: cache.snapshot(commit) };
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
