import { existsSync } from "node:fs";
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MAX_IMAGE_BYTES } from "../../shared/limits.ts";
import { readSiteFile, sourceOf } from "../../site/pictures.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

/** There both names are the file's. */
const readsOver = existsSync(import.meta.filename.toUpperCase());

test.skipIf(readsOver)("a missing file with a similar name beside it: that name is given", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "Photo.JPG"), "picture");
  await writeFile(join(folder, "caf\u00e9.jpg".normalize("NFD")), "picture");
  const refusal = (name: string) => readSiteFile(folder, join(folder, name)).catch(({ message }) => message);
  expect(await refusal("photo.jpg")).toContain("it is called Photo.JPG");
  expect(await refusal("caf\u00e9.jpg")).toContain("its accents are encoded differently");
  expect(await refusal("gone.jpg")).toBe("The file is not there.");
  expect(await refusal("Photo.JPG/a.jpg")).toBe("The file is not there.");
});

test("a base as long as a page is read once, not again from each of its letters", () => {
  const base = `${"a".repeat(1_000_000)}/`;
  expect(sourceOf("/site", "page.html", { source: "cat.jpg", base })).toEqual({
    kind: "file",
    path: `/site/${base}cat.jpg`,
  });
});

test("only files are opened, because opening a pipe would never end; nor is a file opened that is too large for a picture", async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "folder.jpg"));
  await writeFile(join(folder, "large.jpg"), "");
  await truncate(join(folder, "large.jpg"), MAX_IMAGE_BYTES + 1);
  await expect(readSiteFile(folder, join(folder, "folder.jpg"))).rejects.toThrow("It is not a file.");
  await expect(readSiteFile(folder, join(folder, "large.jpg"))).rejects.toThrow(
    "The picture has too many bytes.",
  );
});
