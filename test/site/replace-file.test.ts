import { chmod, lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { replaceFile } from "../../site/replace-file.ts";

async function file(): Promise<{ folder: string; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), "replace-file-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "page.html");
  await writeFile(path, "old");
  return { folder, path };
}

test("a file keeps its mode: writable for a group, or unreadable for others", async () => {
  const { folder, path } = await file();
  for (const mode of [0o666, 0o664, 0o600]) {
    await chmod(path, mode);
    await replaceFile(path, mode.toString());
    expect((await stat(path)).mode & 0o777).toBe(mode);
    expect(await readFile(path, "utf8")).toBe(mode.toString());
  }
  expect(await readdir(folder)).toEqual(["page.html"]);
});

test("a link still leads to the file, which has the new text", async () => {
  const { folder, path } = await file();
  const link = join(folder, "link.html");
  await symlink("page.html", link);
  await replaceFile(link, "new");
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
  expect(await readFile(path, "utf8")).toBe("new");
});
