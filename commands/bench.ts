/** `npm run -s bench -- NAME`: one side-by-side measurement of bench/, in one run on one machine. */

import * as z from "zod";
import type { Report } from "../bench/report.ts";
import { runCommand } from "./command-line.ts";

interface Bench {
  readonly summary: string;
  readonly example: string;
  /** Each is loaded only when it is asked for. */
  readonly load: () => Promise<{ readonly Options: z.ZodObject; readonly run: unknown }>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  backend: {
    summary: "The backend over HTTP beside the bare engine.",
    example: "--bundle bundles/blip --captions 64 --turns 2",
    load: () => import("../bench/backend.ts"),
  },
  desk: {
    summary: "The desk with many pictures in Chromium: long tasks, delays of keys, memory.",
    example: "--pictures 500 --megapixels 12",
    load: () => import("../bench/desk.ts"),
  },
  edge: {
    summary: "The worker's cache hits beside bare workers that do the least possible.",
    example: "--requests 2000 --json",
    load: () => import("../bench/edge.ts"),
  },
  engine: {
    summary: "Whole captions beside transformers on the same weights. Needs Python.",
    example: "--python .venv/bin/python --repeats 3",
    load: () => import("../bench/engine.ts"),
  },
  "fuzz-pictures": {
    summary: "Mutated picture files through the decoder: crashes, hangs and memory.",
    example: "--files 40000 --seed 9",
    load: () => import("../bench/fuzz-pictures.ts"),
  },
  failover: {
    summary: "Three backends behind one worker, each killed and brought back under load.",
    example: "--seconds 6",
    load: () => import("../bench/failover.ts"),
  },
  gpu: {
    summary: "Captions on a GPU beside transformers. Needs Python with PyTorch.",
    example: "--python .venv/bin/python --device cuda --batches 1,8,32",
    load: () => import("../bench/gpu/captions.ts"),
  },
  hostile: {
    summary: "Hostile pictures at a running backend: memory, and what a normal caller notices.",
    example: "--bombs 3",
    load: () => import("../bench/hostile.ts"),
  },
  jobs: {
    summary:
      "Items of a job captioned per second beside the bare engine, memory, and how long single requests wait meanwhile.",
    example: "--items 1000 --turns 3",
    load: () => import("../bench/jobs.ts"),
  },
  parity: {
    summary: "Tokens and captions beside those that reference/dev.py wrote with transformers.",
    example: "--reference /tmp/reference --images flickr8k/images",
    load: () => import("../bench/parity.ts"),
  },
  soak: {
    summary: "Many thousands of answers from one backend: refusals, and how its memory grows.",
    example: "--requests 40000",
    load: () => import("../bench/soak.ts"),
  },
  stored: {
    summary: "The cost of a cache hit with a thousand to a million captions stored.",
    example: "--stored 1000,1000000 --requests 2000",
    load: () => import("../bench/stored.ts"),
  },
  unlike: {
    summary: "How many pictures other than photographs are flagged for review.",
    example: "--bundle bundles/blip",
    load: () => import("../bench/unlike.ts"),
  },
};

const EXPECTED = `expected a NAME: ${Object.keys(BENCHES).join(", ")}`;

const LIST = {
  invocation: "npm run -s bench -- NAME",
  summary: `Runs one measurement and prints what it found as JSON. NAME is one of:\n\n${Object.entries(
    BENCHES,
  )
    .map(([name, { summary }]) => `  ${name.padEnd(14)} ${summary}`)
    .join("\n")}`,
  arguments: z.tuple([z.enum(Object.keys(BENCHES), EXPECTED)], EXPECTED),
  options: z.object({}),
  examples: ["npm run -s bench -- edge", "npm run -s bench -- backend --help"],
  notes: "Each measurement has options of its own: npm run -s bench -- NAME --help",
} as const;

const [name = "", ...argv] = process.argv.slice(2);
const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (bench === undefined) {
  // Prints only the list, or what is wrong with the name.
  await runCommand(LIST, async () => undefined);
} else {
  const { Options, run } = await bench.load();
  const command = {
    invocation: `npm run -s bench -- ${name}`,
    summary: bench.summary,
    arguments: z.tuple([], "expected no arguments besides the options"),
    options: Options.extend({
      json: z.boolean().default(false).describe("Print the JSON on one line."),
    }),
    examples: [`npm run -s bench -- ${name} ${bench.example}`],
  } as const;
  const body = async ({ options: { json, ...options } }: { options: Record<string, unknown> }) => {
    const report = await (run as (options: unknown) => Promise<Report>)(options);
    console.log(json === true ? JSON.stringify(report) : JSON.stringify(report, null, 2));
    return undefined;
  };
  await runCommand(command, body, { argv });
}
