import { expect, test } from "vitest";
import { retryAfterMs } from "../../shared/retry-after.ts";

test.each([
  ["120", 120_000],
  ["0", 0],
  ["-5", 0],
  ["Thu, 01 Jan 1970 00:01:30 GMT", 30_000],
  ["Thu, 01 Jan 1970 00:00:30 GMT", 0],
  ["soon", undefined],
  ["", undefined],
  [null, undefined],
])("%j, a minute into the epoch, is %j", (value, expected) => {
  expect(retryAfterMs(value, 60_000)).toBe(expected);
});
