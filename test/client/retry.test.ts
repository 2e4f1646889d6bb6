import { expect, test } from "vitest";
import { withRetries } from "../../client/retry.ts";

/** How long is waited after an answer that asks to come back in `seconds`; undefined if it is the result at once. */
async function waitAfter(seconds: number, maxRetryAfterMs: number): Promise<number | undefined> {
  const answers = [
    new Response(null, { status: 429, headers: { "retry-after": String(seconds) } }),
    new Response(),
  ];
  let waitedMs: number | undefined;
  await withRetries(async () => answers.shift() ?? Response.error(), {
    retries: 1,
    maxRetryAfterMs,
    wait: async (ms) => {
      waitedMs = ms;
    },
    random: () => 0,
    now: () => 0,
    signal: undefined,
  });
  return waitedMs;
}

test("the longest wait that is accepted is waited for: a key that is too fast is told to come back in a minute", async () => {
  expect(await waitAfter(60, 60_000)).toBe(60_000);
  expect(await waitAfter(61, 60_000)).toBeUndefined();
});

test("a wait shorter than the client's own is not believed, because all would come back at once", async () => {
  expect(await waitAfter(0, 60_000)).toBe(125);
});
