/**
 * A file without a name in memory, through which a process and its child pass bytes. Messages go through a pipe in pieces, which are put
 * together and left as garbage; memory that both see is copied once, in less time than another thread is woken.
 */

import { randomUUID } from "node:crypto";
import { openSync, readSync, unlinkSync, writeSync } from "node:fs";

/** Linux' memory as a folder, also where nothing else may be written to. No disk: pictures lie on none. */
const FOLDER = "/dev/shm";

/** @returns its descriptor, the caller's to close; nothing where there is no such memory: then messages have to do */
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

/** Whether `bytes` are the file's beginning now: there may be no room for them. */
export function putInShared(file: number, bytes: Uint8Array): boolean {
  try {
    return writeSync(file, bytes, 0, bytes.length, 0) === bytes.length;
  } catch {
    return false;
  }
}

/** Fills `bytes` from the file's beginning, and returns them: what they were before must not be taken for a picture. */
export function takeFromShared<Bytes extends Uint8Array>(file: number, bytes: Bytes): Bytes {
  const length = readSync(file, bytes, 0, bytes.length, 0);
  if (length !== bytes.length) {
    throw new Error(`This is a bug: ${length} bytes are shared where ${bytes.length} were said to be.`);
  }
  return bytes;
}
