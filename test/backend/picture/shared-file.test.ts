import { closeSync, openSync, writeFileSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import {
  openSharedFile,
  putInShared,
  type SharedFile,
  takeFromShared,
} from "../../../backend/picture/shared-file.ts";

function open(): SharedFile {
  const file = openSharedFile();
  if (file === undefined) throw new Error("This machine has no place for it.");
  return file;
}

test("each side reads what the other put there, whatever was there before", async () => {
  const file = open();
  expect(await file.put(Uint8Array.of(1, 2, 3, 4))).toBe(true);
  expect(takeFromShared(file.descriptor, 4)).toEqual(Uint8Array.of(1, 2, 3, 4));
  expect(putInShared(file.descriptor, Uint8Array.of(9, 8))).toBe(true);
  const bytes = new Uint8Array(2);
  await file.fill(bytes);
  expect(bytes).toEqual(Uint8Array.of(9, 8));
  file.close();
});

test("where it has no room that is said", () => {
  const full = openSync("/dev/full", "w");
  onTestFinished(() => closeSync(full));
  expect(putInShared(full, Uint8Array.of(1))).toBe(false);
});

test("it is closed once what is under way is done, and not before", async () => {
  const file = open();
  writeFileSync(file.descriptor, Buffer.alloc(1_000_000, 7));
  const bytes = new Uint8Array(1_000_000);
  const filled = file.fill(bytes);
  file.close();
  await filled;
  expect(bytes.every((byte) => byte === 7)).toBe(true);
  await expect.poll(() => putInShared(file.descriptor, Uint8Array.of(1))).toBe(false);
});
