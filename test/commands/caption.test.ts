import { execFile } from "node:child_process";
import { copyFile, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Caption, CaptionOptions } from "../../shared/schema.ts";
import { runCommand } from "../support/run-command.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

describe("npm run caption", () => {
  test("prints a line a file, and goes on after a bad one", async () => {
    const { stdout, stderr, status } = await runCommand("caption", [
      "examples/cat.jpg",
      "package.json",
      "examples/rocket.jpg",
    ]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => line.split("\t")[0])).toEqual(["examples/cat.jpg", "examples/rocket.jpg"]);
    for (const line of lines) expect(line.split("\t")[1]).toMatch(/^[A-Z].* \w+/);
    expect(stderr).toMatch(/package\.json: .*\(not-an-image\)/);
    expect(status).toBe(1);
  });

  test("--json has every field of the API's answer", async () => {
    const { stdout, status } = await runCommand("caption", [
      "--json",
      "--max-length",
      "20",
      "examples/cat.jpg",
    ]);
    const { file, ...caption } = JSON.parse(stdout);
    expect(file).toBe("examples/cat.jpg");
    expect(Caption.parse(caption).alt.length).toBeLessThanOrEqual(20);
    expect(status).toBe(0);
  });

  test("a line's alt text is as long as --max-length says", async () => {
    const { stdout } = await runCommand("caption", ["--max-length", "20", "examples/astronaut.jpg"]);
    const [, alt = ""] = stdout.trimEnd().split("\t");
    expect(alt).toMatch(/^[A-Z]/);
    expect(alt.length).toBeLessThanOrEqual(20);
  });

  test("a folder stands for its pictures, and paths are relative to the user's current folder", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "holiday/deeper"), { recursive: true });
    for (const file of ["holiday/b.jpg", "holiday/deeper/a.JPG", "holiday/.hidden.jpg"]) {
      await copyFile("examples/cat.jpg", join(folder, file));
    }
    await writeFile(join(folder, "holiday/notes.txt"), "");
    const { stdout, stderr, status } = await runCommand("caption", ["holiday"], { INIT_CWD: folder });
    const names = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t")[0]);
    expect({ names, status, stderr }).toEqual({
      names: ["holiday/b.jpg", "holiday/deeper/a.JPG"],
      status: 0,
      stderr: "",
    });
  });

  test("only the pictures of a folder are taken: circular links end, and names are bytes", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "site.jpg/deeper"), { recursive: true });
    await copyFile("examples/cat.jpg", join(folder, "site.jpg/a.jpg"));
    const latin1 = Buffer.concat([
      Buffer.from(join(folder, "caf")),
      Buffer.from([0xe9]),
      Buffer.from(".jpg"),
    ]);
    await copyFile("examples/cat.jpg", latin1);
    await symlink("../..", join(folder, "site.jpg/deeper/up"));
    await symlink("site.jpg", join(folder, "latest"));
    await symlink("itself.jpg", join(folder, "itself.jpg"));
    await promisify(execFile)("mkfifo", [join(folder, "pipe.jpg")]);
    const { stdout, stderr, status } = await runCommand("caption", ["."], { INIT_CWD: folder });
    expect(stdout.trimEnd().split("\n")).toEqual(
      ["café.jpg", "latest/a.jpg", "site.jpg/a.jpg"].map((name) => expect.stringMatching(`^${name}\tA `)),
    );
    expect({ stderr, status }).toEqual({ stderr: "itself.jpg: its links lead in a circle\n", status: 1 });
  });

  test("- is standard input", async () => {
    const { stdout, status } = await runCommand("caption", ["-"], {}, await readFile("examples/cat.jpg"));
    expect(stdout).toMatch(/^-\t[A-Z]/);
    expect(status).toBe(0);
  });

  test("- has no row in a table, so it is refused, not ignored", async () => {
    const folder = await temporaryFolder();
    const args = ["-", "--url", "http://127.0.0.1:1", "--csv", join(folder, "out.csv")];
    const { stdout, stderr, status } = await runCommand(
      "caption",
      args,
      {},
      await readFile("examples/cat.jpg"),
    );
    expect(stderr).toMatch(/^--csv takes files and folders/);
    expect({ stdout, status }).toEqual({ stdout: "", status: 2 });
    expect(await readdir(folder)).toEqual([]);
  });

  test("a missing file is reported in words", async () => {
    const { stdout, stderr, status } = await runCommand("caption", ["gone.jpg"]);
    expect({ stdout, stderr, status }).toEqual({
      stdout: "",
      stderr: "gone.jpg: there is no such file or folder\n",
      status: 1,
    });
  });

  test("ONNX Runtime's telemetry leaves nothing in the user's home", async () => {
    const home = await temporaryFolder();
    // ONNX Runtime keeps quiet in CI by itself.
    const environment = { HOME: home, CI: undefined, ORT_DISABLE_TELEMETRY: undefined };
    expect((await runCommand("caption", ["examples/cat.jpg"], environment)).status).toBe(0);
    expect(await readdir(home)).toEqual([]);
  });

  test("every option of a caption has a flag, which takes effect", async () => {
    const { stdout: page } = await runCommand("caption", ["--help"]);
    for (const name of Object.keys(CaptionOptions.shape)) {
      expect(page).toContain(`--${name.replaceAll("_", "-")} `);
    }
    const args = ["--json", "--max-new-tokens", "2", "examples/astronaut.jpg"];
    const { caption } = Caption.parse(JSON.parse((await runCommand("caption", args)).stdout));
    expect(caption.split(" ").length).toBeLessThanOrEqual(2);
  });

  test("a prompt begins the caption", async () => {
    const args = ["--json", "--prompt", "a photograph of", "examples/cat.jpg"];
    const { stdout } = await runCommand("caption", args);
    expect(JSON.parse(stdout).caption).toMatch(/^a photograph of \w+/);
  });

  test.each([
    [[], /at least one file/],
    [["--num-beams", "99", "a.jpg"], /--num-beams: expected at most 8; got 99/],
    [["--colour", "a.jpg"], /--colour/],
    [["--bundle", "nowhere", "a.jpg"], /No bundle in .*nowhere.*model:build/],
  ])("wrong use %j ends with what to do", async (args, message) => {
    const { stderr, status } = await runCommand("caption", args);
    expect(stderr).toMatch(message);
    expect(status).not.toBe(0);
  });

  test.each([
    [["--bundle", "models"], "--url or --bundle, not both"],
    [["--json"], "--csv or --json, not both"],
  ])("%j beside --url and --csv is refused, because it would have no effect", async (more, why) => {
    const args = ["examples/cat.jpg", "--url", "http://127.0.0.1:1", "--csv", "/tmp/never.csv", ...more];
    expect(await runCommand("caption", args)).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining(why),
    });
  });
});
