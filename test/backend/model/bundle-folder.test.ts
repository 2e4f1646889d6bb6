import { cp, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { openBundle } from "../../../backend/bundle/bundle.ts";
import { buildBundle } from "../../../backend/model/build.ts";
import { replaceBundleFolder, requireReplaceable } from "../../../backend/model/bundle-folder.ts";
import { TINY_BASE, temporaryFolder } from "../../support/tiny-blip.ts";

vi.mock("node:fs/promises", { spy: true });

const build = (out: string) => buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out });

describe("a bundle's folder", () => {
  test("a folder of photographs stays as it was, and the error names one", async () => {
    const folder = await temporaryFolder();
    const out = join(folder, "photographs");
    await mkdir(out);
    await writeFile(join(out, "holiday.jpg"), "a photograph");
    await expect(build(out)).rejects.toThrow(/neither empty nor a bundle: it holds 'holiday.jpg'/);
    expect(await readFile(join(out, "holiday.jpg"), "utf8")).toBe("a photograph");
    expect(await readdir(folder)).toEqual(["photographs"]);
  });

  test("a base's folder is never replaced, nor a bundle that somebody keeps other files in", async () => {
    await expect(requireReplaceable(TINY_BASE.folder)).rejects.toThrow(/neither empty nor a bundle/);
    const out = join(await temporaryFolder(), "bundle");
    await build(out);
    await writeFile(join(out, "notes.md"), "mine");
    await expect(build(out)).rejects.toThrow(/'notes.md'/);
    await expect(requireReplaceable(join(out, "notes.md"))).rejects.toThrow(/is a file/);
  });

  test("model files without a manifest are somebody's export, not a bundle", async () => {
    const out = await temporaryFolder();
    await writeFile(join(out, "model.onnx"), "weights of somebody");
    await expect(build(out)).rejects.toThrow(/'model.onnx'/);
  });

  test("a mounted disk is refused before anything is written", async () => {
    await expect(requireReplaceable("/dev")).rejects.toThrow(/\/dev is a mounted disk.*a folder within it/);
  });

  test("an absent folder, an empty one, a bundle and a link to one are written", async () => {
    const folder = await temporaryFolder();
    const [absent, empty, link] = [join(folder, "absent"), join(folder, "empty"), join(folder, "link")];
    await mkdir(empty);
    for (const out of [absent, empty, absent]) await build(out);
    await symlink(absent, link);
    await build(link);
    expect((await openBundle(link)).manifest.id).toBe(TINY_BASE.id);
    expect((await readdir(folder)).sort()).toEqual(["absent", "empty", "link"]);
  });

  test.each(["absent", "there"])(
    "what another process has built meanwhile is not taken away from its readers: a bundle that was %s",
    async (was) => {
      const folder = await temporaryFolder();
      const out = join(folder, "bundle");
      if (was === "there") await build(out);
      const built = await replaceBundleFolder(out, async (partial) => {
        await build(out);
        await cp(out, partial, { recursive: true });
        return (await stat(out)).ino;
      });
      expect((await stat(out)).ino).toBe(built);
      expect(await readdir(folder)).toEqual(["bundle"]);
    },
  );

  test("building the same bundle again replaces the existing one, whose files may be damaged", async () => {
    const out = join(await temporaryFolder(), "bundle");
    await build(out);
    await writeFile(join(out, "model.onnx"), "half a graph");
    await build(out);
    expect((await stat(join(out, "model.onnx"))).size).toBeGreaterThan(1000);
  });

  test.each([
    ["is replaced", undefined],
    ["stays where its place cannot be taken", "EIO"],
  ])("a bundle out of a container's image, whose folder cannot be renamed, %s", async (_name, failure) => {
    const folder = await temporaryFolder();
    const out = join(folder, "bundle");
    await build(out);
    const { ino } = await stat(out);
    const actual = await vi.importActual<typeof import("node:fs/promises")>("node:fs/promises");
    vi.mocked(rename).mockImplementation(async (from, to) => {
      if (from === out) throw Object.assign(new Error("cross-device link"), { code: "EXDEV" });
      const isGone = !(await readdir(folder)).includes("bundle");
      if (to === out && isGone && failure) throw Object.assign(new Error(failure), { code: failure });
      return actual.rename(from, to);
    });
    onTestFinished(() => void vi.mocked(rename).mockRestore());
    const building = build(out);
    if (failure) await expect(building).rejects.toThrow(failure);
    else await building;
    expect((await stat(out)).ino).not.toBe(ino);
    expect((await openBundle(out)).manifest.id).toBe(TINY_BASE.id);
    expect(await readdir(folder)).toEqual(["bundle"]);
  });

  test("a bundle is replaced together with what a killed process left in it", async () => {
    const out = join(await temporaryFolder(), "bundle");
    await build(out);
    await writeFile(join(out, "fastest-dtype.json.partial-c7df79b8-a0f5-4927-9ea3-17c77609282d"), "{");
    await build(out);
    expect((await readdir(out)).sort()).toEqual(["bundle.json", "model.onnx", "vocab.txt"]);
  });

  test("a link to nowhere is refused, and stays", async () => {
    const folder = await temporaryFolder();
    await symlink(join(folder, "unplugged"), join(folder, "link"));
    await expect(build(join(folder, "link"))).rejects.toThrow(
      /link is a link to something that does not exist/,
    );
    expect(await readdir(folder)).toEqual(["link"]);
  });

  test("a build that fails leaves the bundle that was there", async () => {
    const folder = await temporaryFolder();
    const out = join(folder, "bundle");
    await build(out);
    const failing = replaceBundleFolder(out, () => Promise.reject(new Error("disk full")));
    await expect(failing).rejects.toThrow("disk full");
    expect((await openBundle(out)).manifest.id).toBe(TINY_BASE.id);
    expect(await readdir(folder)).toEqual(["bundle"]);
  });
});
