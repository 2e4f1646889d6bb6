/** `npm run -s model:build`: weights and adapter in, bundle out. */

import { stat } from "node:fs/promises";
import * as z from "zod";
import { Dtype, openBundle, variantsOf } from "../backend/bundle/bundle.ts";
import { TRITON_MODEL } from "../backend/bundle/triton-models.ts";
import { buildBundle } from "../backend/model/build.ts";
import { requireReplaceable } from "../backend/model/bundle-folder.ts";
import { parseHubConfig } from "../backend/model/hub/config.ts";
import { fetchModel } from "../backend/model/hub/fetch-model.ts";
import { type ModelRole, parseRepository } from "../backend/model/hub/repository.ts";
import { writeTritonRepository } from "../backend/model/triton/repository.ts";
import { folderId, type ModelFolder } from "../backend/model/weights/model-folder.ts";
import { parseCommandLine, progressLine, runCommand, UsageError } from "./command-line.ts";
import { printable } from "./terminal-text.ts";

const USAGE = `usage: npm run -s model:build -- --base ID_OR_DIR [--adapter ID_OR_DIR] [--dtype fp32,fp16,int8] [--image-size N] [--triton DIR] --out DIR
  --base        a BlipForConditionalGeneration: OWNER/NAME[@REVISION] of the Hugging Face Hub, or a folder with config.json,
                preprocessor_config.json, vocab.txt and *.safetensors
  --adapter     a PEFT LoRA adapter for it, merged into the base: OWNER/NAME[@REVISION] or a folder
  --dtype       precisions, a graph each: fp32 (default), int8 (CPU), fp16 (GPU); a backend takes the best for its device
  --out         folder of the bundle: new, empty, or a bundle that this one replaces
  --image-size  edge of the pictures in pixels; the preprocessor's own by default
  --triton      also write a model repository for NVIDIA Triton, of the precision that a GPU takes
Downloads honour HF_TOKEN, HF_ENDPOINT, HF_HOME and HF_HUB_CACHE.`;

const Options = z.object({
  base: z.string(),
  adapter: z.string().optional(),
  dtype: z
    .string()
    .default("fp32")
    .transform((list) => [...new Set(list.split(","))])
    .pipe(z.tuple([Dtype], Dtype)),
  "image-size": z.coerce.number().int().min(16).max(1024).optional(),
  triton: z.string().optional(),
  out: z.string(),
});

async function main(): Promise<undefined> {
  const text = { type: "string" } as const;
  const options = parseCommandLine(
    USAGE,
    { base: text, adapter: text, dtype: text, "image-size": text, triton: text, out: text },
    Options,
  );
  await requireReplaceable(options.out);
  const startedAt = performance.now();
  const manifest = await buildBundle({
    base: await modelFolder(options.base, "base"),
    ...(options.adapter === undefined ? {} : { adapter: await modelFolder(options.adapter, "adapter") }),
    dtypes: options.dtype,
    ...(options["image-size"] === undefined ? {} : { imageSize: options["image-size"] }),
    out: options.out,
    onProgress: progressLine("Writing the graph"),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  for (const { dtype, revision } of variantsOf(manifest)) {
    console.log(printable(`${options.out}: ${manifest.id}, ${dtype}, revision ${revision}, ${seconds} s`));
  }
  console.log(
    `${options.out}: every caption is for review until it is calibrated: npm run -s eval -- --calibrate --bundle ${options.out} --images DIR --captions FILE.jsonl`,
  );
  if (options.triton !== undefined) {
    const bundle = await openBundle(options.out, { device: "cuda" });
    await writeTritonRepository({ bundle, folder: options.triton, model: TRITON_MODEL, device: "gpu" });
    console.log(`${options.triton}: model '${TRITON_MODEL}' for Triton, ${bundle.manifest.dtype}`);
  }
}

async function modelFolder(source: string, role: ModelRole): Promise<ModelFolder> {
  const isFolder = await stat(source).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (isFolder) return { id: folderId(source), folder: source };
  const repository = parseRepository(source);
  if (!repository) throw new UsageError(`${source} is neither a folder nor OWNER/NAME[@REVISION].\n${USAGE}`);
  return fetchModel({
    repository,
    role,
    config: parseHubConfig(process.env),
    onProgress: progressLine(`Downloading ${source}`),
  });
}

await runCommand(main);
