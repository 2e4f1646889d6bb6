import { expect, test } from "vitest";
import { createJoinedWork, LEFT } from "../../../backend/captioner/joined-work.ts";
import type { Demand } from "../../../backend/picture/demand.ts";

const NEVER = { signal: new AbortController().signal, isBackground: false };

test("callers of one key share a run; another key, or a later call, is a run of its own", async () => {
  const work = createJoinedWork<number>();
  const gate = Promise.withResolvers<void>();
  let runs = 0;
  const task = async () => {
    runs += 1;
    await gate.promise;
    return runs;
  };
  const first = work.run("a", NEVER, task);
  const second = work.run("a", NEVER, task);
  const other = work.run("b", NEVER, task);
  expect([first.joined, second.joined, other.joined]).toEqual([false, true, false]);
  gate.resolve();
  expect(await Promise.all([first.result, second.result])).toEqual([2, 2]);
  await other.result;
  expect(work.run("a", NEVER, task).joined).toBe(false);
  expect(runs).toBe(3);
});

test("the task is told to stop when the last caller has left, not before", async () => {
  const work = createJoinedWork<string>();
  const callers = [new AbortController(), new AbortController()];
  let told: AbortSignal | undefined;
  const results = callers.map(
    ({ signal }) =>
      work.run("a", { signal, isBackground: false }, (demand) => {
        told = demand.signal;
        return new Promise(() => {});
      }).result,
  );
  callers[0]?.abort();
  expect(await results[0]).toBe(LEFT);
  expect(told?.aborted).toBe(false);
  callers[1]?.abort();
  expect(await results[1]).toBe(LEFT);
  expect(told?.aborted).toBe(true);
  expect(work.run("a", NEVER, async () => "anew").joined).toBe(false);
});

test("an abandoned task that ends late does not end the one that replaced it", async () => {
  const work = createJoinedWork<string>();
  const caller = new AbortController();
  const late = Promise.withResolvers<string>();
  const left = work.run("a", { signal: caller.signal, isBackground: false }, () => late.promise);
  caller.abort();
  expect(await left.result).toBe(LEFT);
  const anew = Promise.withResolvers<string>();
  const again = work.run("a", NEVER, () => anew.promise);
  late.resolve("late");
  await left.ended;
  expect(work.run("a", NEVER, () => expect.unreachable()).joined).toBe(true);
  anew.resolve("anew");
  expect(await again.result).toBe("anew");
});

test("a caller that has left already starts nothing", async () => {
  const work = createJoinedWork<string>();
  const { result } = work.run("a", { ...NEVER, signal: AbortSignal.abort() }, () => expect.unreachable());
  expect(await result).toBe(LEFT);
});

test("a failure reaches everybody who waits, and nobody after", async () => {
  const work = createJoinedWork<string>();
  const fail = () => Promise.reject(new Error("broken"));
  const both = [work.run("a", NEVER, fail).result, work.run("a", NEVER, fail).result];
  for (const result of both) await expect(result).rejects.toThrow("broken");
  expect(await work.run("a", NEVER, async () => "well").result).toBe("well");
});

test("the task is background work until a person joins", async () => {
  const work = createJoinedWork<string>();
  const background = { ...NEVER, isBackground: true };
  const gate = Promise.withResolvers<string>();
  let told: Demand | undefined;
  const task = (demand: Demand) => {
    told = demand;
    return gate.promise;
  };
  const results = [background, background].map((caller) => work.run("a", caller, task).result);
  expect(told?.isBackground).toBe(true);
  results.push(work.run("a", NEVER, task).result);
  expect(told?.isBackground).toBe(false);
  results.push(work.run("a", background, task).result);
  expect(told?.isBackground).toBe(false);
  gate.resolve("done");
  await Promise.all(results);
});
