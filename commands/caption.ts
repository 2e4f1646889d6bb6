/** `npm run -s caption -- FILE...`: captions files with no server, a line each, `FILE<TAB>caption`. */

import { readFile } from "node:fs/promises";
import * as z from "zod";
import type { Captioner } from "../backend/captioner/captioner.ts";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { toCaption } from "../shared/alt-text.ts";
import { contentHash } from "../shared/content-hash.ts";
import { type Caption, CaptionOptions } from "../shared/schema.ts";
import { parseCommandLine, progressLine, runCommand } from "./command-line.ts";
import { printable, printableField } from "./terminal-text.ts";

const USAGE = `usage: npm run -s caption -- FILE... [--json] [--bundle DIR] [--prompt TEXT] [--max-new-tokens N] [--num-beams N]
                                 [--max-length N]`;

const Options = z.object({
  files: z.array(z.string()).min(1, "expected at least one file"),
  json: z.boolean().default(false),
  bundle: z.string().optional(),
  prompt: CaptionOptions.shape.prompt,
  "max-new-tokens": CaptionOptions.shape.max_new_tokens,
  "num-beams": CaptionOptions.shape.num_beams,
  "max-length": CaptionOptions.shape.max_length,
});
type Options = z.infer<typeof Options>;

async function main(): Promise<number> {
  const text = { type: "string" } as const;
  const options = parseCommandLine(
    USAGE,
    {
      json: { type: "boolean" },
      bundle: text,
      prompt: text,
      "max-new-tokens": text,
      "num-beams": text,
      "max-length": text,
    },
    Options,
  );
  const { captioner, engine } = await openLocalCaptioner(options.bundle, {
    onProgress: progressLine("Building the embedded model"),
  });
  let failed = 0;
  for (const file of options.files) {
    try {
      const caption = await captionFile(captioner, file, options);
      const line = options.json
        ? printable(JSON.stringify({ file, ...caption }))
        : `${printableField(file)}\t${printableField(caption.caption)}`;
      console.log(line);
    } catch (error) {
      failed++;
      console.error(printable(`${file}: ${error instanceof Error ? error.message : error}`));
    }
  }
  await engine.close();
  return failed > 0 ? 1 : 0;
}

async function captionFile(captioner: Captioner, file: string, options: Options): Promise<Caption> {
  const bytes = new Uint8Array(await readFile(file));
  const result = await captioner.caption(bytes, {
    ...(options.prompt === undefined ? {} : { prompt: options.prompt }),
    ...(options["max-new-tokens"] === undefined ? {} : { max_new_tokens: options["max-new-tokens"] }),
    ...(options["num-beams"] === undefined ? {} : { num_beams: options["num-beams"] }),
  });
  if (!result.ok) throw new Error(`${result.failure.detail} (${result.failure.code})`);
  const { caption, score } = result.value;
  const { id, revision, review } = captioner.model;
  return toCaption({
    sha256: await contentHash(bytes),
    generated: { caption, score, model: { id, revision } },
    cached: false,
    maxLength: options["max-length"],
    reviewBelow: review?.below,
  });
}

await runCommand(main);
