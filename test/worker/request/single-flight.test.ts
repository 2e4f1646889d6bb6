import { expect, test } from "vitest";
import { singleFlight } from "../../../worker/request/single-flight.ts";

test("joins a run under way, and begins another when it is done or overdue", async () => {
  let time = 0;
  const runs: PromiseWithResolvers<number>[] = [];
  const run = singleFlight(
    () => {
      const begun = Promise.withResolvers<number>();
      runs.push(begun);
      return begun.promise;
    },
    { maxMs: 100, now: () => time },
  );
  const [first, joined] = [run(0), run(0)];
  expect(runs).toHaveLength(1);
  runs[0]?.resolve(1);
  expect(await Promise.all([first, joined])).toEqual([1, 1]);

  const stuck = run(0);
  time = 100;
  const next = run(0);
  expect(runs).toHaveLength(3);
  runs[1]?.resolve(2);
  await stuck;
  // The late one does not take the newer run away.
  expect(run(0)).toBe(next);
});

test("a run that fails is not remembered", async () => {
  let fails = true;
  const run = singleFlight(
    async () => {
      if (fails) throw new Error("no");
      return 1;
    },
    { maxMs: 100, now: () => 0 },
  );
  await expect(run(0)).rejects.toThrow("no");
  fails = false;
  expect(await run(0)).toBe(1);
});
