/** `npm run -s model:build`: weights and adapter in, bundle out. */

import { stat } from "node:fs/promises";
import * as z from "zod";
import { buildBundle, folderId, type ModelFolder } from "../backend/model/build.ts";
import { Dtype } from "../backend/model/bundle.ts";
import { parseCommandLine, progressLine, runCommand, UsageError } from "./command-line.ts";

const USAGE = `usage: npm run -s model:build -- --base DIR [--adapter DIR] [--dtype fp32|fp16] [--image-size N] --out DIR
  --base        folder of a BlipForConditionalGeneration: config.json, preprocessor_config.json, vocab.txt, *.safetensors
  --adapter     folder of a PEFT LoRA adapter, merged into the base
  --dtype       fp32 (default, CPU) or fp16 (GPU)
  --image-size  edge of the pictures in pixels; the preprocessor's own by default`;

const Options = z.object({
  base: z.string(),
  adapter: z.string().optional(),
  dtype: Dtype.default("fp32"),
  "image-size": z.coerce.number().int().min(16).max(1024).optional(),
  out: z.string(),
});

async function main(): Promise<undefined> {
  const text = { type: "string" } as const;
  const options = parseCommandLine(
    USAGE,
    { base: text, adapter: text, dtype: text, "image-size": text, out: text },
    Options,
  );
  const startedAt = performance.now();
  const manifest = await buildBundle({
    base: await modelFolder(options.base),
    ...(options.adapter === undefined ? {} : { adapter: await modelFolder(options.adapter) }),
    dtype: options.dtype,
    ...(options["image-size"] === undefined ? {} : { imageSize: options["image-size"] }),
    out: options.out,
    onProgress: progressLine("Writing the graph"),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `${options.out}: ${manifest.id}, ${manifest.dtype}, revision ${manifest.revision}, ${seconds} s`,
  );
}

async function modelFolder(path: string): Promise<ModelFolder> {
  const isFolder = await stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    throw new UsageError(
      `${path} is not a folder. Models are read from folders; get one from the Hugging Face Hub with ` +
        `'hf download ${path} --local-dir DIR' and give DIR.`,
    );
  }
  return { id: folderId(path), folder: path };
}

await runCommand(main);
