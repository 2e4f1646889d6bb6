/**
 * A nameless file in memory, through which a process and its child pass bytes. A message goes through a pipe in
 * pieces, which are then joined and left as garbage. Shared memory is copied once, in less time than it takes to
 * wake another thread.
 */

import { randomUUID } from "node:crypto";
import { openSync, readSync, unlinkSync, writeSync } from "node:fs";

/**
 * Linux' memory as a folder, which is writable even if nothing else is. It is not on a disk, so no picture is
 * written to one.
 */
const FOLDER = "/dev/shm";

/** @returns its descriptor, which the caller must close; undefined if there is no such memory, and messages must do */
export function openSharedFile(): number | undefined {
  const path = `${FOLDER}/captions-${randomUUID()}`;
  try {
    const file = openSync(path, "wx+", 0o600);
    unlinkSync(path);
    return file;
  } catch {
    return undefined;
  }
}

/** Writes `bytes` at the file's beginning. Returns false if there is no room for them. */
export function putInShared(file: number, bytes: Uint8Array): boolean {
  try {
    return writeSync(file, bytes, 0, bytes.length, 0) === bytes.length;
  } catch {
    return false;
  }
}

/** Fills `bytes` from the file's beginning and returns them. Their old contents must never be taken for a picture. */
export function takeFromShared<Bytes extends Uint8Array>(file: number, bytes: Bytes): Bytes {
  const length = readSync(file, bytes, 0, bytes.length, 0);
  if (length !== bytes.length) {
    throw new Error(`This is a bug: ${length} bytes are shared where ${bytes.length} were said to be.`);
  }
  return bytes;
}
