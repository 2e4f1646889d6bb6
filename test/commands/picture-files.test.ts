import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { pictureFiles } from "../../commands/picture-files.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

/** Nothing is closed to root. */
const NOBODY = 65_534;

test("a folder's pictures are found by every ending that programs give them, in any case", async () => {
  const folder = await temporaryFolder();
  const names = [
    "a.JPG",
    "b.jpeg",
    "c.jpe",
    "d.jfif",
    "e.png",
    "f.apng",
    "g.webp",
    "h.avif",
    "i.gif",
    "j.tif",
    "k.TIFF",
  ];
  for (const name of [...names, "l.heic", "m.txt", "jpg"]) await writeFile(join(folder, name), "");
  const found = await pictureFiles([folder]);
  expect(found.map(({ name }) => name)).toEqual(names.map((name) => join(folder, name)));
});

test("a subfolder that may not be read stands in for its pictures, and the others are found", async () => {
  const folder = await temporaryFolder();
  await chmod(folder, 0o755);
  for (const name of ["open", "shut"]) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, "a.jpg"), "");
  }
  await chmod(join(folder, "shut"), 0);
  if (process.geteuid?.() === 0) {
    process.seteuid?.(NOBODY);
    onTestFinished(() => process.seteuid?.(0));
  }
  const found = await pictureFiles([folder]);
  expect(found.map(({ name }) => name)).toEqual([join(folder, "open/a.jpg"), join(folder, "shut")]);
  await expect(pictureFiles([join(folder, "shut")])).rejects.toMatchObject({ code: "EACCES" });
});

test("hidden files and folders are left out, and a link that leads back to a folder it lies in ends", async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, ".trash"));
  await mkdir(join(folder, "one/two"), { recursive: true });
  for (const name of ["a.jpg", "._a.jpg", ".trash/b.jpg", "one/two/c.jpg"])
    await writeFile(join(folder, name), "");
  await symlink(join(folder, "one"), join(folder, "one/two/back"));
  const found = await pictureFiles([folder]);
  expect(found.map(({ name }) => name)).toEqual(["a.jpg", "one/two/c.jpg"].map((name) => join(folder, name)));
});
