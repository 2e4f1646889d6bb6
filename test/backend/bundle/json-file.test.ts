import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { createJsonFile, writeJsonFile } from "../../../backend/bundle/json-file.ts";
import { temporaryFolder } from "../../support/tiny-blip.ts";

vi.mock("node:fs/promises", { spy: true });

test.each([createJsonFile, writeJsonFile])(
  "where the disk is full, $name leaves nothing behind",
  async (write) => {
    const folder = await temporaryFolder();
    const actual = await vi.importActual<typeof import("node:fs/promises")>("node:fs/promises");
    vi.mocked(writeFile).mockImplementation(async (path) => {
      await actual.writeFile(path, "");
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    });
    onTestFinished(() => void vi.mocked(writeFile).mockRestore());
    await expect(write(join(folder, "one.json"), {})).rejects.toThrow("no space left");
    expect(await readdir(folder)).toEqual([]);
  },
);

test("a file that cannot replace what is in its place leaves nothing behind", async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "one.json"));
  await expect(writeJsonFile(join(folder, "one.json"), {})).rejects.toThrow();
  expect(await readdir(folder)).toEqual(["one.json"]);
});
