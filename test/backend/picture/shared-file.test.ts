import { closeSync, existsSync, openSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { openSharedFile, putInShared, takeFromShared } from "../../../backend/picture/shared-file.ts";

const isLinux = existsSync("/dev/shm");

test.runIf(isLinux)("one side reads what the other wrote, whatever was there before", () => {
  const file = openSharedFile() as number;
  onTestFinished(() => closeSync(file));
  expect(putInShared(file, Uint8Array.of(1, 2, 3, 4))).toBe(true);
  expect(takeFromShared(file, new Uint8Array(4))).toEqual(Uint8Array.of(1, 2, 3, 4));
  expect(() => takeFromShared(file, new Uint8Array(5))).toThrow("4 bytes are shared where 5");
  expect(putInShared(file, Uint8Array.of(9, 8))).toBe(true);
  expect(takeFromShared(file, new Uint8Array(2))).toEqual(Uint8Array.of(9, 8));
});

test.runIf(isLinux)("writing reports when there is no room", () => {
  const full = openSync("/dev/full", "w");
  onTestFinished(() => closeSync(full));
  expect(putInShared(full, Uint8Array.of(1))).toBe(false);
});
