import { expect, test } from "vitest";
import type { ReviewRule } from "../../shared/review.ts";
import { Caption } from "../../shared/schema.ts";
import { captionResponse } from "../../worker/answer.ts";
import { scopeOf } from "./support/scope.ts";

const GENERATED = { caption: "a dog", score: 0.5, model: { id: "m", revision: "r1" } };

const answerWith = (review: ReviewRule | undefined) =>
  captionResponse({
    sha256: "0".repeat(64),
    options: {},
    outcome: {
      ok: true,
      value: { generated: GENERATED, provenance: { kind: "hit", tier: "memory" }, review },
    },
    scope: scopeOf("interactive"),
  });

test("a caption in memory is judged anew once its model has been calibrated, and has a new tag", async () => {
  const before = answerWith(undefined);
  const after = answerWith({ below: 0.4, weights: null });
  expect(Caption.parse(await before.json()).needs_review).toBe(true);
  expect(Caption.parse(await after.json()).needs_review).toBe(false);
  expect(after.headers.get("etag")).not.toBe(before.headers.get("etag"));
});

test("a browser asks each time: a kept answer would outlive its model, or its deletion", () => {
  expect(answerWith(undefined).headers.get("cache-control")).toBe("private, no-cache");
});
