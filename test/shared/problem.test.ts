import { expect, test } from "vitest";
import { parseWith } from "../../shared/intake/options.ts";
import { toProblem } from "../../shared/problem.ts";
import { CaptionQuery } from "../../shared/schema.ts";

test("a detail is cut, but never inside a character, because half a character breaks programs that print it", () => {
  for (let length = 260; length < 420; length++) {
    const detail = `${"a".repeat(length)}🐕`;
    const parsed = parseWith(CaptionQuery, { [detail]: 1 }, "bad-request");
    if (parsed.ok) throw new Error("expected a failure");
    for (const problem of [toProblem(parsed.failure), toProblem({ code: "bad-request", detail })]) {
      expect(problem.detail.length).toBeLessThanOrEqual(400);
      expect([length, problem.detail.isWellFormed()]).toEqual([length, true]);
    }
  }
});
