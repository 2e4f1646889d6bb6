/** `npm run docs:write`: rewrites the parts of documentation pages that come from elsewhere in the project. */

import { readdir, readFile, writeFile } from "node:fs/promises";
import * as z from "zod";
import { runCommand } from "./command-line.ts";
import { withPart } from "./page-part.ts";
import { withSettingsTables } from "./settings-tables.ts";
import { speedChart } from "./speed-chart.ts";
import { SpeedMeasurement, speedByModel, speedTable } from "./speed-measurement.ts";

const DOCS = new URL("../docs/", import.meta.url);

const COMMAND = {
  invocation: "npm run -s docs:write --",
  summary:
    "Rewrites the tables of variables in docs/run.md from the schemas that check them, and in docs/measurements/speed.md a table and a chart for each measurement in speed/ beside it.",
  arguments: z.tuple([], "expected no arguments"),
  options: z.object({}),
  examples: ["npm run -s docs:write"],
} as const;

await runCommand(COMMAND, async () => {
  const read = (path: string) => readFile(new URL(path, DOCS), "utf8");
  const write = (path: string, text: string) => writeFile(new URL(path, DOCS), text);
  await write("run.md", withSettingsTables(await read("run.md")));
  let page = await read("measurements/speed.md");
  for (const file of await readdir(new URL("measurements/speed/", DOCS))) {
    const [, machine] = /^(.+)\.json$/.exec(file) ?? [];
    if (machine === undefined) continue;
    const speed = SpeedMeasurement.parse(JSON.parse(await read(`measurements/speed/${file}`)));
    await write(`measurements/speed/${machine}.svg`, await speedChart(speedByModel(speed)));
    page = withPart(page, machine, speedTable(speed));
  }
  await write("measurements/speed.md", page);
  return undefined;
});
