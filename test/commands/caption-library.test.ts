import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { captionLibrary } from "../../commands/caption-library.ts";
import type { Api } from "../../commands/captioners.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

test("every picture is captioned with the options that were given", async () => {
  const folder = await temporaryFolder();
  const files = ["a.jpg", "b.jpg"].map((name) => ({ name, path: join(folder, name) }));
  for (const { path } of files) await writeFile(path, path);
  const asked: unknown[] = [];
  const client = {
    async caption(_bytes: Uint8Array, options: unknown) {
      asked.push(options);
      return { sha256: "0", caption: "a cat", alt: "A cat", score: 0.5, needs_review: false, cached: false };
    },
  };
  const options = { prompt: "a drawing of", max_length: 50 };
  const counts = await captionLibrary({
    files,
    api: { client, whyNoOther: () => undefined } as unknown as Api,
    options,
    csv: join(folder, "out.csv"),
    onProgress: () => {},
    onFailure: () => {},
  });
  expect(counts).toMatchObject({ captioned: 2, failed: 0, needsReview: 0 });
  expect(asked).toEqual([options, options]);
});
