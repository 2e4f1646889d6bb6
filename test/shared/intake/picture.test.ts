import { describe, expect, test } from "vitest";
import { pictureFormat } from "../../../shared/intake/picture.ts";
import { acceptedPictures, refusedPictures } from "../../support/pictures.ts";

describe("known by its first bytes", async () => {
  test.each(await acceptedPictures())("$name", ({ name, bytes }) => {
    expect(pictureFormat(bytes)).toEqual({ ok: true, value: /^\w+/.exec(name)?.[0] });
  });
});

describe("refused before anything is decoded", async () => {
  const byFormat = (await refusedPictures()).filter(({ code }) =>
    ["empty-body", "not-an-image", "unsupported-image"].includes(code),
  );
  test.each(byFormat)("$name: $code", ({ bytes, code }) => {
    expect(pictureFormat(bytes)).toMatchObject({ ok: false, failure: { code } });
  });
});

test("every prefix of a picture has an answer", async () => {
  for (const { bytes } of [...(await acceptedPictures()), ...(await refusedPictures())]) {
    for (let length = 0; length < Math.min(64, bytes.length); length++) {
      expect(typeof pictureFormat(bytes.subarray(0, length)).ok).toBe("boolean");
    }
  }
});
