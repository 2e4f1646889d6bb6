import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readSiteFile } from "../../site/pictures.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

/** There both names are the file's. */
const readsOver = existsSync(import.meta.filename.toUpperCase());

test.skipIf(readsOver)("of a file that is there under a name like it, that name is said", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "Photo.JPG"), "picture");
  await writeFile(join(folder, "caf\u00e9.jpg".normalize("NFD")), "picture");
  await mkdir(join(folder, "photos"));
  const refusal = (name: string) => readSiteFile(folder, join(folder, name)).catch(({ message }) => message);
  expect(await refusal("photo.jpg")).toContain("it is called Photo.JPG");
  expect(await refusal("caf\u00e9.jpg")).toContain("its accents are other characters");
  expect(await refusal("gone.jpg")).toBe("The file is not there.");
  expect(await refusal("Photo.JPG/a.jpg")).toBe("The file is not there.");
  expect(await refusal("photos")).toBe("The file cannot be read (EISDIR).");
});
