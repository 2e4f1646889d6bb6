import { expect, test } from "vitest";
import { toCsv } from "../../../worker/jobs/csv.ts";

test.each([
  [undefined, ""],
  [null, "null"],
  [0, "0"],
  [false, "false"],
  [{ page: 7 }, '"{""page"":7}"'],
])("metadata of any kind comes back: %j", (metadata, cell) => {
  const problem = {
    type: "about:blank",
    title: "",
    status: 404,
    code: "not-captioned",
    detail: "No.",
  } as const;
  const row = toCsv([
    { index: 0, status: "error", problem, ...(metadata !== undefined && { metadata }) } as never,
  ]);
  expect(row).toBe(`0,,error,,,,,,not-captioned,No.,${cell}\r\n`);
});
