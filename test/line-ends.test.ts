import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const hasGit = spawnSync("git", ["--version"]).status === 0;

test.runIf(hasGit)("a checkout has the same line ends where git is set to write Windows' own", () => {
  const folder = mkdtempSync(join(tmpdir(), "line-ends-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "core.autocrlf=true", ...args], { cwd: folder, stdio: "pipe" });
  const script = join(folder, "run.sh");
  const text = "#!/bin/sh\necho ran\n";
  cpSync(new URL("../.gitattributes", import.meta.url), join(folder, ".gitattributes"));
  writeFileSync(script, text);
  git("init", "--quiet");
  git("add", ".");
  rmSync(script);
  git("checkout", "--", "run.sh");
  expect(readFileSync(script, "utf8")).toBe(text);
});
