/** `npm run -s bench -- NAME`: one side-by-side measurement of bench/, in one run on one machine. */

import { type ParseArgsConfig, parseArgs } from "node:util";
import * as z from "zod";
import type { Report } from "../bench/report.ts";
import { runCommand, UsageError } from "./command-line.ts";

/** Each is loaded only when it is asked for. */
const BENCHES = {
  backend: () => import("../bench/backend.ts"),
  edge: () => import("../bench/edge.ts"),
  engine: () => import("../bench/engine.ts"),
  "fuzz-pictures": () => import("../bench/fuzz-pictures.ts"),
  failover: () => import("../bench/failover.ts"),
  gpu: () => import("../bench/gpu/captions.ts"),
  hostile: () => import("../bench/hostile.ts"),
  jobs: () => import("../bench/jobs.ts"),
  parity: () => import("../bench/parity.ts"),
  soak: () => import("../bench/soak.ts"),
  unlike: () => import("../bench/unlike.ts"),
} as const;

const USAGE = `usage: npm run -s bench -- NAME [--json] [options of that measurement]
  NAME: ${Object.keys(BENCHES).join(", ")}`;

async function main(): Promise<undefined> {
  const [first, ...rest] = process.argv.slice(2);
  const name = z.enum(Object.keys(BENCHES) as [keyof typeof BENCHES]).safeParse(first);
  if (!name.success) throw new UsageError(USAGE);
  const { run, Options } = await BENCHES[name.data]();
  const texts = Object.keys(Options.shape).map((option) => [option, { type: "string" }] as const);
  const { json, ...options } = parseOptions(rest, {
    ...Object.fromEntries(texts),
    json: { type: "boolean" },
  });
  const parsed = Options.safeParse(options);
  if (!parsed.success) throw new UsageError(`${z.prettifyError(parsed.error)}\n${USAGE}`);
  const report = await (run as (options: unknown) => Promise<Report>)(parsed.data);
  console.log(json === true ? JSON.stringify(report) : JSON.stringify(report, null, 2));
}

function parseOptions(
  args: string[],
  options: NonNullable<ParseArgsConfig["options"]>,
): Record<string, unknown> {
  try {
    return parseArgs({ args, options }).values;
  } catch (cause) {
    throw new UsageError(`${cause instanceof Error ? cause.message : cause}\n${USAGE}`, { cause });
  }
}

await runCommand(main);
