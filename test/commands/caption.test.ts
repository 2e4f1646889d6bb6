import { readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { Caption } from "../../shared/schema.ts";
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
    for (const line of lines) expect(line.split("\t")[1]).toMatch(/^[a-z].* \w+/);
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

  test("ONNX Runtime's telemetry leaves nothing in the user's home", async () => {
    const home = await temporaryFolder();
    // ONNX Runtime keeps quiet in CI by itself.
    const environment = { HOME: home, CI: undefined, ORT_DISABLE_TELEMETRY: undefined };
    expect((await runCommand("caption", ["examples/cat.jpg"], environment)).status).toBe(0);
    expect(await readdir(home)).toEqual([]);
  });

  test("a prompt begins the caption", async () => {
    const { stdout } = await runCommand("caption", ["--prompt", "a photograph of", "examples/cat.jpg"]);
    expect(stdout).toMatch(/\ta photograph of \w+/);
  });

  test.each([
    [[], /at least one file/],
    [["--num-beams", "99", "a.jpg"], /num-beams/],
    [["--colour", "a.jpg"], /--colour/],
    [["--bundle", "nowhere", "a.jpg"], /No bundle in nowhere.*model:build/],
  ])("wrong use %j ends with what to do", async (args, message) => {
    const { stderr, status } = await runCommand("caption", args);
    expect(stderr).toMatch(message);
    expect(status).not.toBe(0);
  });
});
