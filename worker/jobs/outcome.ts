/** How an item ended: a line of the results, without the fields that the item itself brought. */

import type { JobLine } from "../../shared/jobs.ts";
import { type Failure, toProblem } from "../../shared/problem.ts";

type WithoutOwn<Line> = Line extends unknown ? Omit<Line, "index" | "id" | "metadata"> : never;
export type ItemOutcome = WithoutOwn<JobLine>;

export function failedOutcome(failure: Failure): ItemOutcome {
  return { status: "error", problem: toProblem(failure) };
}
