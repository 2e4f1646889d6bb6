/**
 * A file without a name, through which a process and its child pass bytes. Messages are copied into a pipe and out of it by the
 * thread that serves everybody; a file is read by other threads, to where its bytes shall lie.
 */

import { randomUUID } from "node:crypto";
import { closeSync, openSync, read, readSync, unlinkSync, write, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** The first is memory, where there is one: on Linux, also where nothing else may be written to. */
const FOLDERS = ["/dev/shm", tmpdir()];

const readFrom = promisify(read);
const writeTo = promisify(write);

/** The parent's end. */
export interface SharedFile {
  /** For the child's `stdio`. */
  readonly descriptor: number;
  /** Whether `bytes` are its beginning now: there may be no room for them. */
  put(bytes: Uint8Array): Promise<boolean>;
  /** Fills `bytes` from its beginning. */
  fill(bytes: Uint8Array): Promise<void>;
  /** Waits for what is under way: the descriptor may be another file's at once. */
  close(): void;
}

/** @returns nothing where no file can be had: then messages have to do */
export function openSharedFile(): SharedFile | undefined {
  const descriptor = openNameless();
  if (descriptor === undefined) return undefined;
  let underWay: Promise<unknown> = Promise.resolve();
  return {
    descriptor,
    put(bytes) {
      const written = writeTo(descriptor, bytes, 0, bytes.length, 0).then(
        ({ bytesWritten }) => bytesWritten === bytes.length,
        () => false,
      );
      underWay = written;
      return written;
    },
    async fill(bytes) {
      const done = readFrom(descriptor, bytes, 0, bytes.length, 0);
      underWay = done.catch(() => {});
      await done;
    },
    close() {
      void underWay.then(() => closeSync(descriptor));
    },
  };
}

function openNameless(): number | undefined {
  for (const folder of FOLDERS) {
    const path = join(folder, `captions-${randomUUID()}`);
    try {
      const descriptor = openSync(path, "wx+", 0o600);
      unlinkSync(path);
      return descriptor;
    } catch {
      // Not there, not writable or full.
    }
  }
  return undefined;
}

/** The child's `put`. */
export function putInShared(descriptor: number, bytes: Uint8Array): boolean {
  try {
    return writeSync(descriptor, bytes, 0, bytes.length, 0) === bytes.length;
  } catch {
    return false;
  }
}

/** What the child was passed, `length` bytes. */
export function takeFromShared(descriptor: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  readSync(descriptor, bytes, 0, length, 0);
  return bytes;
}
