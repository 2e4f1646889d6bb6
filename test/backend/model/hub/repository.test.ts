import { describe, expect, test } from "vitest";
import { parseRepository } from "../../../../backend/model/hub/repository.ts";

describe("parseRepository", () => {
  test.each([
    [
      "Salesforce/blip-image-captioning-base",
      { id: "Salesforce/blip-image-captioning-base", revision: "main" },
    ],
    ["owner/name@v1.0", { id: "owner/name", revision: "v1.0" }],
    ["owner/name@refs/pr/3", { id: "owner/name", revision: "refs/pr/3" }],
  ])("%s", (text, expected) => {
    expect(parseRepository(text)).toEqual(expected);
  });

  test.each(["name", "a/b/c", "../x", "owner/..", "owner/name@../../x", "owner/name@"])(
    "%s is none",
    (text) => {
      expect(parseRepository(text)).toBeUndefined();
    },
  );
});
