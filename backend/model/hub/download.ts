/** Downloads one file from the hub: resumes where an earlier run stopped, and checks the file before it counts. */

import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { access, type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { HubError } from "./hub-error.ts";
import type { RemoteFile } from "./repository.ts";

const ATTEMPTS_WITHOUT_PROGRESS = 4;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export interface DownloadOptions {
  readonly file: RemoteFile;
  readonly path: string;
  /** The file's bytes from `offset` on. */
  readonly read: (offset: number) => Promise<ReadableStream<Uint8Array>>;
  /** Called with the size of each piece in bytes; what is already on disk counts as the first piece. */
  readonly onBytes: (bytes: number) => void;
  readonly sleep: (milliseconds: number) => Promise<void>;
}

/**
 * Downloads to `path + ".incomplete"`, checks size and digest, then renames. Each byte is written at its own
 * offset, so several processes may download the same file at once.
 * @throws HubError if the hub refuses, the disk is full, or the bytes are not the expected ones
 */
export async function downloadFile(options: DownloadOptions): Promise<void> {
  const { file, path } = options;
  const partial = `${path}.incomplete`;
  await mkdir(dirname(path), { recursive: true });
  // Kept open, because another process may rename the file meanwhile.
  const target = await open(partial, constants.O_RDWR | constants.O_CREAT);
  try {
    await fill(target, options);
    const actual = await digestOf(target, file);
    if (actual !== file.digest.hex) {
      await rm(partial, { force: true });
      throw new HubError(
        `${file.path} came with the wrong checksum (${actual} instead of ${file.digest.hex}) and was thrown away. ` +
          "Run the same command again; if it happens twice, something between you and the hub changes the bytes.",
      );
    }
  } finally {
    await target.close();
  }
  await rename(partial, path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    // Whoever renamed it has checked it.
    await access(path);
  });
}

/** Downloads until `target` has the file's size, and pauses when the hub fails. */
async function fill(
  target: FileHandle,
  { file, path, read, onBytes, sleep }: DownloadOptions,
): Promise<void> {
  const sizeOf = async () => (await target.stat()).size;
  if ((await sizeOf()) > file.size) await target.truncate();
  let done = await sizeOf();
  onBytes(done);
  let failures = 0;
  while (done < file.size) {
    const before = done;
    try {
      done = await write(target, await read(done), { from: done, to: file.size, onBytes });
      if (done < file.size) throw new HubError("The connection ended early.", { retryable: true });
    } catch (error) {
      done = await sizeOf();
      if (isFullDisk(error)) {
        throw new HubError(
          `The disk is full at ${dirname(path)}. Make room and run the same command again: it goes on from there.`,
          {
            cause: error,
          },
        );
      }
      failures = done > before ? 1 : failures + 1;
      const retryable = !(error instanceof HubError) || error.retryable;
      if (!retryable || failures >= ATTEMPTS_WITHOUT_PROGRESS) {
        const message = error instanceof Error ? error.message : String(error);
        throw new HubError(
          `${file.path}: ${message} ${done} of ${file.size} bytes are kept; run the same command to go on.`,
          {
            cause: error,
          },
        );
      }
      const asked = error instanceof HubError ? error.retryAfterMs : undefined;
      await sleep(Math.min(LONGEST_PAUSE_MS, asked ?? FIRST_PAUSE_MS * 2 ** failures));
    }
  }
}

/**
 * Writes up to `to`. Cancels a stream that has more, because it would fill the disk.
 * @returns the offset where the bytes of `stream` end; the first of them belongs at `from`
 */
async function write(
  target: FileHandle,
  stream: ReadableStream<Uint8Array>,
  { from, to, onBytes }: { readonly from: number; readonly to: number } & Pick<DownloadOptions, "onBytes">,
): Promise<number> {
  let end = from;
  for await (const bytes of stream) {
    const chunk = bytes.subarray(0, to - end);
    for (let written = 0; written < chunk.length; ) {
      const { bytesWritten } = await target.write(chunk, written, chunk.length - written, end + written);
      written += bytesWritten;
    }
    end += chunk.length;
    onBytes(chunk.length);
    if (end === to) break;
  }
  return end;
}

async function digestOf(target: FileHandle, { size, digest }: RemoteFile): Promise<string> {
  const hash: Hash = createHash(digest.algorithm === "sha256" ? "sha256" : "sha1");
  // https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
  if (digest.algorithm === "git-sha1") hash.update(`blob ${size}\0`);
  const bytes = target.createReadStream({ start: 0, highWaterMark: 1 << 20, autoClose: false });
  for await (const chunk of bytes) hash.update(chunk);
  return hash.digest("hex");
}

function isFullDisk(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT";
}
