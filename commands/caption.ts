/**
 * `npm run -s caption -- FILE...`: captions pictures without a server, one line each, `FILE<TAB>alt text`; with `--url` and
 * `--csv`, a folder of pictures through a running API into a table.
 */

import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import * as z from "zod";
import type { Captioner } from "../backend/captioner/captioner.ts";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { described } from "../shared/described.ts";
import { DEFAULT_ALT_CHARACTERS } from "../shared/limits.ts";
import { type Caption, CaptionOptions, WebAddress } from "../shared/schema.ts";
import { captionLibrary } from "./caption-library.ts";
import { captionLocally, openApi } from "./captioners.ts";
import { CommandError, runCommand, UsageError, userPath } from "./command-line.ts";
import { systemErrorWords } from "./error-text.ts";
import { apiKey, bundleFolder, requireOneCaptioner } from "./options.ts";
import { type PictureFile, pictureFiles } from "./picture-files.ts";
import { countLine, progressLine } from "./progress.ts";
import { printable, printableField } from "./terminal-text.ts";

const Options = z.object({
  json: z
    .boolean()
    .default(false)
    .describe("Print every field of the API's answer, one JSON object per line."),
  bundle: bundleFolder,
  url: z.optional(WebAddress).meta({
    description: "Address of a running API that captions in place of this process; needs --csv.",
    value: "API",
  }),
  key: apiKey,
  csv: z.string().optional().meta({
    description:
      "With --url: the table to write. If it exists, the command adds what is missing: nothing is captioned twice.",
    value: "FILE.csv",
  }),
  prompt: CaptionOptions.shape.prompt,
  "max-new-tokens": CaptionOptions.shape.max_new_tokens,
  "num-beams": CaptionOptions.shape.num_beams,
  "max-length": described(
    CaptionOptions.shape.max_length.clone(),
    `The most characters of the alt text, cut on a word edge; ${DEFAULT_ALT_CHARACTERS} by default.`,
  ),
});
type Options = z.output<typeof Options>;

const COMMAND = {
  invocation: "npm run -s caption -- FILE_OR_DIR...",
  summary:
    "Captions pictures without a server and prints one line for each: FILE, a tab, and its alt text. A folder stands for the pictures in it, - for standard input.",
  arguments: z.array(z.string()).min(1, "expected at least one file, folder, or - for standard input"),
  options: Options,
  examples: [
    "npm run -s caption -- photo.jpg holiday/",
    "npm run -s caption -- --json --num-beams 3 - < photo.jpg",
    "npm run -s caption -- library/ --url https://captions.example.org --csv captions.csv",
  ],
} as const;

async function main({
  options,
  arguments: given,
}: {
  options: Options;
  arguments: readonly string[];
}): Promise<number> {
  const { url, csv } = options;
  requireOneCaptioner(options);
  if (csv !== undefined && options.json) throw new UsageError("expected --csv or --json, not both");
  const files = await pictureFiles(given);
  if (url !== undefined && csv !== undefined) return captionToTable(files, { ...options, url, csv });
  if (url !== undefined || csv !== undefined) throw new UsageError("expected --url and --csv together");
  const bundle = options.bundle === undefined ? undefined : userPath(options.bundle);
  const { captioner, engine } = await openLocalCaptioner(bundle, {
    onProgress: progressLine("Building the embedded model"),
  });
  const progress = countLine("Captioned", files.length);
  let failed = 0;
  for (const [index, file] of files.entries()) {
    try {
      const caption = await captionFile(captioner, file, options);
      progress.end();
      console.log(
        options.json
          ? printable(JSON.stringify({ file: file.name, ...caption }))
          : `${printableField(file.name)}\t${printableField(caption.alt)}`,
      );
    } catch (error) {
      failed++;
      progress.end();
      console.error(printable(`${file.name}: ${reasonOf(error)}`));
    }
    if (files.length > 1) progress.done(index + 1);
  }
  progress.end();
  await engine.close();
  return failed > 0 ? 1 : 0;
}

async function captionToTable(
  files: readonly PictureFile[],
  options: Options & { readonly url: string; readonly csv: string },
): Promise<number> {
  if (files.some(({ path }) => path === undefined)) {
    throw new UsageError(
      "--csv takes files and folders, not -: each row is found again by the name of its file",
    );
  }
  const progress = countLine("Captioned", files.length);
  const { captioned, cached, failed, kept, needsReview } = await captionLibrary({
    files,
    api: openApi(options.url, options.key),
    options: captionQuery(options),
    csv: userPath(options.csv),
    onProgress: progress.done,
    onFailure(name, reason) {
      progress.end();
      console.error(printable(`${name}: ${reason}`));
    },
  }).finally(progress.end);
  console.log(
    `${captioned} captioned, ${cached} known already, ${failed} failed, ${kept} from before; ${needsReview} to be reviewed.`,
  );
  return failed > 0 ? 1 : 0;
}

/** The flags that are a caption's options: `--num-beams` is `num_beams`. */
function captionQuery(options: Options): CaptionOptions {
  const flagOf = (name: string) => name.replaceAll("_", "-") as keyof Options;
  const given = Object.keys(CaptionOptions.shape).map((name) => [name, options[flagOf(name)]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/** @throws CommandError that says what is wrong with the picture, or the system's error if it cannot be read */
async function captionFile(captioner: Captioner, { path }: PictureFile, options: Options): Promise<Caption> {
  const bytes = new Uint8Array(path === undefined ? await buffer(process.stdin) : await readFile(path));
  const result = await captionLocally(captioner, bytes, captionQuery(options));
  if (!result.ok) throw new CommandError(`${result.failure.detail} (${result.failure.code})`);
  return result.value;
}

function reasonOf(error: unknown): string {
  const words = error instanceof CommandError ? error.message : systemErrorWords(error);
  if (words === undefined) throw error;
  return words;
}

await runCommand(COMMAND, main);
