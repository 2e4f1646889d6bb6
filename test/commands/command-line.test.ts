/** What holds for every command: its page, its errors in words, and how it ends. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { EMBEDDED_BASE } from "../../backend/model/embedded.ts";
import { parseCommandLine, UsageError } from "../../commands/command-line.ts";
import { describeSystemError } from "../../commands/error-text.ts";
import { formatBytes } from "../../commands/progress.ts";
import { usageOf } from "../../commands/usage.ts";
import { runCommand } from "../support/run-command.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const BENCHES = [
  ..."backend desk edge engine fuzz-pictures failover gpu hostile jobs parity soak stored unlike".split(" "),
].map((name) => ["bench", name]);

describe("--help", () => {
  test.each([
    ["start"],
    ["cms"],
    ["site"],
    ["caption"],
    ["eval"],
    ["keys"],
    ["model-build"],
    ["docs-write"],
    ["docs-pictures"],
    ["bench"],
    ...BENCHES,
  ])(
    "%s %s: usage on standard output, every option with its meaning, an example, status 0",
    async (command = "", ...args) => {
      const { stdout, stderr, status } = await runCommand(command, [...args, "--help"]);
      expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
      expect(stdout).toMatch(/^Usage: npm (run|start)/);
      expect(stdout).toMatch(/\nExamples?:\n {2}npm /);
      const options = stdout.match(/^ {2}--\S+.*$/gm) ?? [];
      expect(options.length).toBeGreaterThan(0);
      // On the line itself or, after a long name, on the next.
      for (const option of options) expect(option).toMatch(/^ {2}--\S+( \S+)? {2,}[A-Z]|^ {2}.{26,}$/);
    },
  );

  test("says defaults and ranges, made from the schema that checks", () => {
    const options = z.object({ size: z.coerce.number().int().min(1).max(9).default(4).describe("Its size") });
    const command = {
      invocation: "x --",
      summary: "S.",
      arguments: z.tuple([]),
      options,
      examples: ["x"],
    } as const;
    expect(usageOf(command)).toContain("--size N                  Its size. 1 to 9. Default: 4.");
  });
});

describe("wrong options", () => {
  const command = {
    invocation: "x --",
    summary: "",
    arguments: z.tuple([], "expected no arguments"),
    options: z.object({
      name: z.string(),
      size: z.coerce.number().int().max(9).optional(),
      kind: z.enum(["a", "b"]).optional(),
    }),
    examples: ["x"],
  } as const;

  test.each([
    [[], "--name is missing"],
    [["--name", "n", "--size", "10"], "--size: expected at most 9; got 10"],
    [["--name", "n", "--size", "ten"], "--size: expected a number"],
    [["--name", "n", "--kind", "c"], "--kind: expected one of a, b; got c"],
    [["--name", "n", "more"], "expected no arguments"],
    [["--name"], /--name.*argument missing/],
    [["--nam", "n"], /Unknown option '--nam'\.$/],
  ])("%j", (argv, message) => {
    expect(() => parseCommandLine(command, argv)).toThrow(UsageError);
    expect(() => parseCommandLine(command, argv)).toThrow(message);
  });
});

test.each([
  ["cms", ["--api", "foo"]],
  ["site", ["docs", "--url", "foo"]],
  ["caption", ["examples", "--url", "ftp://a.test"]],
  ["eval", ["--images", "a", "--captions", "b", "--url", "foo"]],
])("%s %j: an invalid address is refused in words", async (command, args) => {
  const { stderr, status } = await runCommand(command, args);
  expect(stderr).toContain("expected an address that begins with http:// or https://; got ");
  expect(status).toBe(2);
});

test.each([
  ["site", ["", "--write"]],
  ["caption", [""]],
  ["caption", ["examples", ""]],
  ["caption", ["examples", "--url", "http://127.0.0.1:1", "--csv", ""]],
  ["eval", ["--images", "", "--captions", "b"]],
  ["model-build", ["--base", "", "--out", "a"]],
  ["start", ["--bundle", ""]],
])("%s %j: an empty path does not mean the user's current folder", async (command, args) => {
  const { stdout, stderr, status } = await runCommand(command, args, { INIT_CWD: await temporaryFolder() });
  expect(stderr).toMatch(/^a path is empty: expected the name of a file or folder\n/);
  expect({ stdout, status }).toEqual({ stdout: "", status: 2 });
});

test.each([[[]], [["no-such"]]])("bench %j: says which measurements there are", async (args) => {
  const { stderr, status } = await runCommand("bench", args);
  expect(stderr).toMatch(/^expected a NAME: backend, desk, edge/);
  expect(status).toBe(2);
});

const HAS_CUDA = existsSync(
  join(ROOT, "node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so"),
);
test.skipIf(HAS_CUDA)("a device that cannot be used is answered with what it needs", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "pixels.bin"), "");
  const none = { size: 256, max_new_tokens: 20, num_beams: 1, rows: [] };
  await writeFile(join(folder, "reference.json"), JSON.stringify(none));
  const { stderr, status } = await runCommand("bench", [
    ...["parity", "--reference", folder, "--images", folder, "--device", "cuda"],
  ]);
  expect(stderr).toMatch(/^DEVICE=cuda cannot be used here\..*npm run cuda:install/m);
  expect(stderr).not.toContain("bug");
  expect(status).toBe(1);
});

test.each([
  [{ code: "ENOSPC", path: "out/model.onnx" }, "out/model.onnx: the disk is full."],
  [{ code: "ENOSPC" }, "The disk is full."],
  [{ code: "EACCES", path: "a", dest: "b" }, "b: no permission."],
  // As Node refuses to make it on a read-only disk.
  [
    { code: "ENOENT", syscall: "mkdir", path: "bundles" },
    "bundles: the folder cannot be made: the disk is read-only, or a link there leads nowhere.",
  ],
  [{ code: "EADDRINUSE", address: "127.0.0.1", port: 80 }, "127.0.0.1:80: the port is in use."],
  [
    { code: "EADDRNOTAVAIL", address: "127.0.0.1", port: 8787 },
    "127.0.0.1:8787: this machine has no such address.",
  ],
  [{ code: "E_OURS" }, undefined],
])("the system's refusal %j in words", (fields, words) => {
  expect(describeSystemError(Object.assign(new Error("x"), fields))).toBe(words);
});

test.each([
  [0, "0 bytes"],
  [999, "999 bytes"],
  [3_240, "3.2 kB"],
  [56_100_000, "56 MB"],
  [1_900_000_000, "1.9 GB"],
])("%i bytes are %s", (bytes, said) => {
  expect(formatBytes(bytes)).toBe(said);
});

test("a reader that stops reading ends a command silently", async () => {
  const child = spawn(
    "sh",
    ["-c", '"$0" commands/caption.ts examples examples examples | head -n 1', process.execPath],
    { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] },
  );
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  expect(stderr).toBe("");
});

test("a full disk under standard output is said in words", async () => {
  const child = spawn(
    "sh",
    ["-c", '"$0" commands/caption.ts examples/cat.jpg > /dev/full', process.execPath],
    {
      cwd: ROOT,
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  expect({ stderr, status }).toEqual({ stderr: "The disk is full.\n", status: 1 });
});

test("the benches whose pages are tested are all the benches", async () => {
  const { stdout } = await runCommand("bench", ["--help"]);
  const listed = Array.from(stdout.matchAll(/^ {2}([a-z][a-z-]+) {2,}\S/gm), ([, name]) => name);
  expect(BENCHES.map(([, name]) => name)).toEqual(listed);
});

test("a measurement says which package its Python lacks, or that there is no such Python", async () => {
  const gone = await runCommand("bench", ["engine", "--python", "no-such-python"]);
  expect(gone).toMatchObject({ status: 1, stderr: expect.stringContaining("no Python at 'no-such-python'") });
  expect(gone.stderr).not.toMatch(/ {4}at /);
});

test.each([
  ["Ctrl-C", "SIGINT", 130],
  ["the end of its terminal", "SIGHUP", 129],
] as const)("model:build leaves nothing behind at %s", async (_name, signal, status) => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "out"));
  const args = ["--base", EMBEDDED_BASE.folder, "--dtype", "fp32,fp16,int8", "--out", join(folder, "out")];
  const child = spawn(process.execPath, ["commands/model-build.ts", ...args], { cwd: ROOT, stdio: "ignore" });
  const exited = once(child, "exit");
  while (!(await readdir(folder)).some((name) => name.includes("partial"))) {
    if (child.exitCode !== null) throw new Error("It had ended before it could be interrupted.");
    await new Promise((wake) => setTimeout(wake, 5));
  }
  child.kill(signal);
  expect(await exited).toEqual([status, null]);
  expect(await readdir(folder)).toEqual(["out"]);
  expect(await readdir(join(folder, "out"))).toEqual([]);
});

test.each([
  ["caption", ["examples", "--url", "http://127.0.0.1:1", "--csv", "test"]],
  ["eval", ["--images", "examples", "--captions", "test"]],
])("%s %j: a folder in a file's place is named", async (command, args) => {
  const { stderr, status } = await runCommand(command, args);
  expect(stderr).toMatch(/(^|\/)test: it is a folder, and a file was expected\.\n$/);
  expect(status).toBe(1);
});

test("a key that no header carries is refused before anything is sent or written, and not shown", async () => {
  const args = ["examples", "--url", "http://127.0.0.1:1", "--csv", join(await temporaryFolder(), "a.csv")];
  const { stderr, status } = await runCommand("caption", [...args, "--key", "ate_secret\nIts id is 1."]);
  expect(stderr).toMatch(/^--key: expected one line of ASCII characters/);
  expect(stderr).not.toContain("ate_secret");
  expect(status).toBe(2);
  const ofEnvironment = await runCommand("caption", args, { CAPTION_API_KEY: "ключ" });
  expect(ofEnvironment.stderr).toMatch(/^CAPTION_API_KEY: expected one line of ASCII characters/);
});
