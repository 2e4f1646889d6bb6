/** `npm run docs:write`: writes the tables of variables in docs/run.md anew. */

import { readFile, writeFile } from "node:fs/promises";
import * as z from "zod";
import { runCommand } from "./command-line.ts";
import { withSettingsTables } from "./settings-tables.ts";

const PAGE = new URL("../docs/run.md", import.meta.url);

const COMMAND = {
  invocation: "npm run -s docs:write --",
  summary: "Writes the tables of variables in docs/run.md anew, from the schemas that check them.",
  arguments: z.tuple([], "expected no arguments"),
  options: z.object({}),
  examples: ["npm run -s docs:write"],
} as const;

await runCommand(COMMAND, async () => {
  await writeFile(PAGE, withSettingsTables(await readFile(PAGE, "utf8")));
  return undefined;
});
