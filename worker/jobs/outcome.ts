/** How an item ended: a line of the results without what the item brought itself. */

import type { JobLine } from "../../shared/jobs.ts";
import { type Failure, toProblem } from "../../shared/problem.ts";

type WithoutOwn<Line> = Line extends unknown ? Omit<Line, "index" | "id" | "metadata"> : never;
export type ItemOutcome = WithoutOwn<JobLine>;

export function failedOutcome(failure: Failure): ItemOutcome {
  return { status: "error", problem: toProblem(failure) };
}
