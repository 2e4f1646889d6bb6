import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { shellWord } from "../../shared/shell-word.ts";

test.each([
  "photo.jpg",
  "",
  "a b",
  "it's",
  "$(rm -rf)",
  "`x`",
  '"',
  "\\",
  "~",
  "*",
  "-n",
  "ä\nb",
  "'; echo no; '",
  "#x",
  "!x",
])("a shell reads %j as it is", (text) => {
  expect(execFileSync("sh", ["-c", `printf '%s|' ${shellWord(text)}`]).toString()).toBe(`${text}|`);
});
