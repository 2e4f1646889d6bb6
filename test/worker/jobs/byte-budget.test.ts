import { expect, test } from "vitest";
import { createByteBudget } from "../../../worker/jobs/byte-budget.ts";

test("no more is held than the budget, in the order of asking, and one that asks for more than all gets all", async () => {
  const budget = createByteBudget(100);
  const held: string[] = [];
  const take = (name: string, bytes: number) => budget.take(bytes).then(() => void held.push(name));
  const takes = [take("a", 60), take("b", 60), take("c", 10), take("d", 500)];
  await takes[0];
  expect(held).toEqual(["a"]);
  budget.giveBack(60);
  await takes[2];
  expect(held).toEqual(["a", "b", "c"]);
  budget.giveBack(60);
  budget.giveBack(10);
  await takes[3];
  expect(held).toEqual(["a", "b", "c", "d"]);
});
