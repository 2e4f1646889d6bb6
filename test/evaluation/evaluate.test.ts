import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { type CaptionSource, evaluate } from "../../evaluation/evaluate.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

test("a link out of the folder of pictures, and anything that is not a file, is named and never read; a link within it is followed", async () => {
  const outside = await temporaryFolder();
  const folder = join(outside, "images");
  await mkdir(folder);
  await writeFile(join(outside, "private.txt"), "secret");
  await copyFile("examples/cat.jpg", join(folder, "cat.jpg"));
  await symlink(join(outside, "private.txt"), join(folder, "out.jpg"));
  await symlink(resolve(folder, "cat.jpg"), join(folder, "same.jpg"));
  await mkdir(join(folder, "folder.jpg"));

  const read: string[] = [];
  const source: CaptionSource = {
    async caption(bytes) {
      read.push(Buffer.from(bytes.subarray(0, 6)).toString("latin1"));
      return { caption: "a cat", score: 0.5, needs_review: false };
    },
    model: () => undefined,
  };
  const failures: string[] = [];
  const set = ["cat.jpg", "out.jpg", "folder.jpg", "same.jpg"].map((image) => ({
    image,
    captions: ["a cat"],
  }));
  const evaluation = await evaluate({
    set,
    folder,
    source,
    onFailure: (image, error) => failures.push(`${image} ${error instanceof Error ? error.message : error}`),
  });

  expect(failures.sort()).toEqual([
    "folder.jpg is not a file",
    `out.jpg is a link that leads out of ${folder}; copy the picture into that folder`,
  ]);
  expect(read).toHaveLength(2);
  expect(read).not.toContain("secret");
  expect(evaluation?.failed).toBe(2);
});
