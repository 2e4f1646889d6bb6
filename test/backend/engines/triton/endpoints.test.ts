import { expect, test } from "vitest";
import { createEndpoints } from "../../../../backend/engines/triton/endpoints.ts";
import { TritonError, type TritonFailure } from "../../../../backend/engines/triton/triton-error.ts";

const failed = (failure: TritonFailure) => new TritonError(failure, "a:1", failure);

function fixture(names: readonly string[]) {
  const clock = { now: 0 };
  const endpoints = createEndpoints(names, () => clock.now);
  const chosen = () => endpoints.run(async (name) => name);
  /** Asked until one call has failed on `name`. */
  async function fail(name: string, failure: TritonFailure) {
    const asked: string[] = [];
    const result = await endpoints
      .run(async (client) => {
        asked.push(client);
        if (client === name) throw failed(failure);
        return client;
      })
      .catch((error: unknown) => error);
    return { asked, result };
  }
  return { clock, endpoints, chosen, fail };
}

test("servers with as few calls take turns", async () => {
  const { chosen } = fixture(["a", "b", "c"]);
  const picks = [await chosen(), await chosen(), await chosen(), await chosen()];
  expect(new Set(picks.slice(0, 3)).size).toBe(3);
  expect(picks[3]).toBe(picks[0]);
});

test("the one with the fewest calls outstanding is chosen", async () => {
  const { endpoints, chosen } = fixture(["a", "b"]);
  const busy = Promise.withResolvers<void>();
  const held: string[] = [];
  const running = endpoints.run(async (name) => {
    held.push(name);
    await busy.promise;
  });
  const others = [await chosen(), await chosen(), await chosen()];
  expect(others).not.toContain(held[0]);
  busy.resolve();
  await running;
});

test.each(["unreachable", "not-loaded"] as const)(
  "%s: goes to another server, once, and is left alone for a while",
  async (failure) => {
    const { clock, chosen, fail } = fixture(["a", "b"]);
    while ((await chosen()) !== "b"); // a is next
    const { asked, result } = await fail("a", failure);
    expect(asked).toEqual(["a", "b"]);
    expect(result).toBe("b");
    expect([await chosen(), await chosen()]).toEqual(["b", "b"]);
    clock.now += 500;
    expect([await chosen(), await chosen()].sort()).toEqual(["a", "b"]);
  },
);

test("is left alone for twice as long each time, until it answers", async () => {
  const { clock, chosen, fail } = fixture(["a", "b"]);
  while ((await chosen()) !== "b");
  await fail("a", "unreachable");
  clock.now += 500;
  while ((await fail("a", "unreachable")).asked[0] !== "a");
  clock.now += 500;
  expect([await chosen(), await chosen()]).toEqual(["b", "b"]);
  clock.now += 500;
  expect([await chosen(), await chosen()].sort()).toEqual(["a", "b"]);
});

test("an answer ends what earlier failures have added to the time", async () => {
  const { clock, chosen, fail } = fixture(["a", "b"]);
  for (let round = 0; round < 2; round++) {
    while ((await fail("a", "unreachable")).asked[0] !== "a");
    clock.now += 500;
    expect([await chosen(), await chosen()].sort()).toEqual(["a", "b"]);
  }
});

test("calls that fail at the same time count as one failure", async () => {
  const { clock, endpoints, chosen } = fixture(["a", "b"]);
  const held = Promise.withResolvers<void>();
  const calls = Array.from({ length: 4 }, () =>
    endpoints.run(async (name) => {
      await held.promise;
      if (name === "a") throw failed("unreachable");
    }),
  );
  held.resolve();
  await Promise.all(calls);
  expect([await chosen(), await chosen()]).toEqual(["b", "b"]);
  clock.now += 500;
  expect([await chosen(), await chosen()].sort()).toEqual(["a", "b"]);
});

test("no third server is asked", async () => {
  const { endpoints } = fixture(["a", "b", "c"]);
  const asked: string[] = [];
  const call = async (name: string) => {
    asked.push(name);
    throw failed("unreachable");
  };
  await expect(endpoints.run(call)).rejects.toThrow("unreachable");
  expect(new Set(asked).size).toBe(2);
});

test.each(["refused", "overloaded", "failed", "bad-answer", "timeout"] as const)(
  "%s is not tried again",
  async (failure) => {
    const { endpoints } = fixture(["a", "b"]);
    let asked = 0;
    await expect(
      endpoints.run(async () => {
        asked += 1;
        throw failed(failure);
      }),
    ).rejects.toMatchObject({ failure });
    expect(asked).toBe(1);
  },
);

test("a server on which a call timed out is left alone, too", async () => {
  const { chosen, fail } = fixture(["a", "b"]);
  while ((await chosen()) !== "b");
  await fail("a", "timeout");
  expect([await chosen(), await chosen()]).toEqual(["b", "b"]);
});

test("a single server is asked even while it is left alone", async () => {
  const { chosen, fail } = fixture(["a"]);
  expect((await fail("a", "unreachable")).asked).toEqual(["a"]);
  expect(await chosen()).toBe("a");
});
