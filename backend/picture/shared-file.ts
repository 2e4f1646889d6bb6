/**
 * A file without a name, through which a process and its child pass bytes. Messages go through a pipe in pieces, which are put
 * together and left as garbage; memory that both see is copied once, in less time than another thread is woken.
 */

import { randomUUID } from "node:crypto";
import { openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The first is memory, where there is one: on Linux, also where nothing else may be written to. */
const FOLDERS = ["/dev/shm", tmpdir()];

/** @returns its descriptor, the caller's to close; nothing where no file can be had: then messages have to do */
export function openSharedFile(): number | undefined {
  for (const folder of FOLDERS) {
    const path = join(folder, `captions-${randomUUID()}`);
    try {
      const file = openSync(path, "wx+", 0o600);
      unlinkSync(path);
      return file;
    } catch {
      // Not there, not writable or full.
    }
  }
  return undefined;
}

/** Whether `bytes` are the file's beginning now: there may be no room for them. */
export function putInShared(file: number, bytes: Uint8Array): boolean {
  try {
    return writeSync(file, bytes, 0, bytes.length, 0) === bytes.length;
  } catch {
    return false;
  }
}

/** Fills `bytes` from the file's beginning, and returns them. */
export function takeFromShared<Bytes extends Uint8Array>(file: number, bytes: Bytes): Bytes {
  readSync(file, bytes, 0, bytes.length, 0);
  return bytes;
}
