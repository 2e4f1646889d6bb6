import { expect, test } from "vitest";
import { CaptionApiError } from "../../../client/index.ts";
import { toProblem } from "../../../shared/problem.ts";
import { failureOf } from "../../../worker/desk/captioning.ts";

test("an empty file is reported as empty, and is not to be tried again as it is", () => {
  const error = new CaptionApiError(toProblem({ code: "empty-body", detail: "Send it." }), undefined);
  expect(failureOf(error)).toMatchObject({
    reason: expect.stringMatching(/^The file is empty\./),
    canRetry: false,
  });
});
