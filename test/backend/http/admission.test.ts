import { expect, test } from "vitest";
import { createAdmission } from "../../../backend/http/admission.ts";

test("permits run out and come back", () => {
  const admission = createAdmission({ maxRequests: 2, maxHeldBytes: 100 });
  const first = admission.tryEnter();
  expect(admission.tryEnter()).toBeDefined();
  expect(admission.tryEnter()).toBeUndefined();
  expect(admission.inFlight).toBe(2);
  first?.release();
  expect(admission.tryEnter()).toBeDefined();
});

test("all bodies together stay within the budget, and a release gives back the bytes of its request", () => {
  const admission = createAdmission({ maxRequests: 9, maxHeldBytes: 100 });
  const one = admission.tryEnter();
  const other = admission.tryEnter();
  expect(one?.reserve(60)).toBe(true);
  expect(other?.reserve(50)).toBe(false);
  expect(other?.reserve(40)).toBe(true);
  expect(one?.reserve(1)).toBe(false);
  one?.release();
  expect(other?.reserve(60)).toBe(true);
});

test("bytes that somebody still reads stay counted after their request has ended; its place does not", async () => {
  const admission = createAdmission({ maxRequests: 1, maxHeldBytes: 100 });
  const reading = Promise.withResolvers<void>();
  const one = admission.tryEnter();
  one?.reserve(60);
  one?.holdBytesUntil(reading.promise);
  one?.release();
  const other = admission.tryEnter();
  expect(other?.reserve(60)).toBe(false);
  reading.reject(new Error("decoder died"));
  await reading.promise.catch(() => {});
  expect(other?.reserve(60)).toBe(true);
});

test("background work takes at most half of the places, and leaves the rest to those who wait", () => {
  const admission = createAdmission({ maxRequests: 4, maxHeldBytes: 100 });
  const background = { isBackground: true };
  const first = admission.tryEnter(background);
  expect(admission.tryEnter(background)).toBeDefined();
  expect(admission.tryEnter(background)).toBeUndefined();
  expect(admission.tryEnter()).toBeDefined();
  first?.release();
  expect(admission.tryEnter(background)).toBeDefined();
  expect(admission.tryEnter()).toBeDefined();
  expect(admission.tryEnter()).toBeUndefined();
});
