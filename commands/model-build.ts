/** `npm run -s model:build`: weights and adapter in, bundle out. */

import { stat } from "node:fs/promises";
import { resolve, sep } from "node:path";
import * as z from "zod";
import { DTYPES_BY_DEVICE, Dtype, openBundle, variantsOf } from "../backend/bundle/bundle.ts";
import { TRITON_MODEL } from "../backend/bundle/triton-models.ts";
import { readPreprocessing } from "../backend/model/blip/preprocessing.ts";
import { buildBundle } from "../backend/model/build.ts";
import { requireReplaceable } from "../backend/model/bundle-folder.ts";
import { parseHubConfig } from "../backend/model/hub/config.ts";
import { fetchModel } from "../backend/model/hub/fetch-model.ts";
import { type ModelRole, parseRepository } from "../backend/model/hub/repository.ts";
import { requireSamePorts, writeTritonRepository } from "../backend/model/triton/repository.ts";
import { folderId, type ModelFolder } from "../backend/model/weights/model-folder.ts";
import { hasPictureHead } from "../backend/model/weights/picture-head.ts";
import { shellWord } from "../shared/shell-word.ts";
import { runCommand, UsageError, userPath } from "./command-line.ts";
import { progressLine } from "./progress.ts";
import { useProxyOfEnvironment } from "./proxy.ts";
import { printable } from "./terminal-text.ts";

const folder = (description: string) => z.string().meta({ description, value: "DIR" });

const Options = z.object({
  base: z.string().meta({
    description:
      "A BlipForConditionalGeneration: OWNER/NAME[@REVISION] on the Hugging Face Hub, or a folder with its weights (*.safetensors), config, preprocessor and vocabulary.",
    value: "ID_OR_DIR",
  }),
  adapter: z.string().optional().meta({
    description: "A PEFT LoRA adapter for it, merged into the base: OWNER/NAME[@REVISION] or a folder.",
    value: "ID_OR_DIR",
  }),
  dtype: z
    .string()
    .default("fp32")
    .transform((list) => [...new Set(list.split(","))])
    .pipe(z.tuple([Dtype], Dtype))
    .meta({
      description:
        "Precisions, separated by commas, with one graph for each: fp32, int8 (CPU), fp16 (GPU). A backend takes the one that is fastest on its machine.",
      value: "LIST",
    }),
  "image-size": z.coerce
    .number()
    .int()
    .min(16)
    .max(1024)
    .optional()
    .describe("Width and height of the model's pictures in pixels; by default those of its preprocessor."),
  triton: folder(
    "Also write a model repository for NVIDIA Triton into this folder, in the precision for a GPU.",
  ).optional(),
  out: folder("Folder for the bundle: new, empty, or with a bundle that this one replaces."),
});

const COMMAND = {
  invocation: "npm run -s model:build --",
  summary:
    "Builds the bundle that a backend serves: reads weights, merges an adapter, writes an ONNX graph for each precision.",
  arguments: z.tuple([], "expected no arguments besides the options"),
  options: Options,
  once: ["base", "adapter"],
  examples: [
    "npm run -s model:build -- --base Salesforce/blip-image-captioning-base --out bundles/blip",
    "npm run -s model:build -- --base DIR --adapter OWNER/ADAPTER --dtype int8,fp16 --image-size 224 --out bundles/blip",
  ],
  notes:
    "Downloads honour HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HTTPS_PROXY and NO_PROXY. If interrupted, it leaves behind only what it has downloaded.",
} as const;

async function main({ options: given }: { options: z.output<typeof Options> }): Promise<undefined> {
  const options = {
    ...given,
    out: userPath(given.out),
    ...(given.triton === undefined ? {} : { triton: userPath(given.triton) }),
  };
  if (options.triton !== undefined) requireForTriton(options.triton, options);
  await requireReplaceable(options.out);
  const startedAt = performance.now();
  const base = await modelFolder(options.base, "base");
  if (options.triton !== undefined) {
    const size = options["image-size"] ?? (await readPreprocessing(base.folder)).size;
    const shapes = { image: { size }, picture_head: await hasPictureHead(base.folder) };
    // Checked now, because the bundle would replace another that is being served.
    await requireSamePorts({ folder: options.triton, model: TRITON_MODEL }, shapes);
  }
  const manifest = await buildBundle({
    base,
    ...(options.adapter === undefined ? {} : { adapter: await modelFolder(options.adapter, "adapter") }),
    dtypes: options.dtype,
    ...(options["image-size"] === undefined ? {} : { imageSize: options["image-size"] }),
    out: options.out,
    onProgress: progressLine("Writing the graph"),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  for (const { dtype, revision } of variantsOf(manifest)) {
    console.log(printable(`${given.out}: ${manifest.id}, ${dtype}, revision ${revision}, ${seconds} s`));
  }
  console.log(
    printable(
      manifest.review === null
        ? `${given.out}: every caption needs review until the bundle is calibrated: npm run -s eval -- --calibrate --bundle ${shellWord(given.out)} --images DIR --captions FILE.jsonl`
        : `${given.out}: the same model was there, calibrated on ${manifest.review.measured_on}; its calibration is kept`,
    ),
  );
  if (options.triton !== undefined) {
    const bundle = await openBundle(options.out, { device: "cuda" });
    await writeTritonRepository({ bundle, folder: options.triton, model: TRITON_MODEL, device: "gpu" });
    console.log(`${given.triton}: model '${TRITON_MODEL}' for Triton, ${bundle.manifest.dtype}`);
  }
}

/** @throws UsageError if a repository for Triton could not be written, or would spoil the bundle beside it */
function requireForTriton(
  triton: string,
  { dtype, out }: { readonly dtype: readonly Dtype[]; readonly out: string },
): void {
  if (dtype.every((precision) => !DTYPES_BY_DEVICE.cuda.includes(precision))) {
    throw new UsageError(`--triton needs a precision for a GPU: add fp16 to --dtype ${dtype.join(",")}`);
  }
  const [folder, bundle] = [resolve(triton), resolve(out)];
  if (folder === bundle || folder.startsWith(bundle + sep)) {
    throw new UsageError("--triton must be outside --out, which holds a bundle and nothing else");
  }
}

async function modelFolder(source: string, role: ModelRole): Promise<ModelFolder> {
  const path = userPath(source);
  const isFolder = await stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (isFolder) return { id: folderId(path), folder: path };
  const repository = parseRepository(source);
  if (!repository) throw new UsageError(`${source} is neither a folder nor OWNER/NAME[@REVISION].`);
  useProxyOfEnvironment();
  return fetchModel({
    repository,
    role,
    config: parseHubConfig(process.env),
    onProgress: progressLine(`Downloading ${source}`),
  });
}

await runCommand(COMMAND, main);
