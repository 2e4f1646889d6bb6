/**
 * Writes a bundle as a model repository for NVIDIA's Triton Inference Server and its ONNX Runtime backend. It holds
 * two models, which share the weights if these have their own file beside the graph; docs/triton.md explains why
 * there are two.
 */

import { copyFile, link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Bundle, BundleError } from "../../bundle/bundle.ts";
import { fileExists } from "../../bundle/file-exists.ts";
import { weightsPath } from "../../bundle/graph-files.ts";
import { PORTS } from "../../bundle/ports.ts";
import {
  MAX_BATCHED_ROWS,
  modelVersion,
  type PortShapes,
  ROW_MAX_NEW_TOKENS,
  type ServedModel,
  type ServedPort,
  servedModels,
} from "../../bundle/triton-models.ts";
import { writeBatchableGraph } from "./batchable-graph.ts";

export interface TritonRepositoryOptions {
  readonly bundle: Bundle;
  /** The repository. Models that it already holds stay. */
  readonly folder: string;
  /** The name that backends call. */
  readonly model: string;
  readonly device: "gpu" | "cpu";
}

/** Most requests that may wait in the batched model's queue; the next one is refused at once. */
const MAX_QUEUED_REQUESTS = 256;
/** A request that has waited this long is refused, because its caller has given up. */
const MAX_QUEUED_MICROSECONDS = 30_000_000;
/**
 * What the warm-up asks for, by input; all other inputs are zeros. Two tokens cover the first step and one with a
 * cache.
 */
const WARM_UP_VALUES: Readonly<Record<string, number>> = {
  [ROW_MAX_NEW_TOKENS]: 2,
  [PORTS.maxNewTokens]: 2,
  [PORTS.numBeams]: 2,
};

/** Folder and file names that have a meaning for Triton. */
const CONFIG_FILE = "config.pbtxt";
const GRAPH_FILE = "model.onnx";
const WARM_UP_FOLDER = "warmup";

/**
 * Writes `<model>` and `<model>_unbatched`, with the bundle's revision as their version. Weights are hard links if
 * the file system allows them, otherwise copies.
 *
 * @throws BundleError, before anything is written, if the repository holds a revision with other ports: all
 * versions of a model share one configuration, and with the new one Triton could no longer load that revision
 */
export async function writeTritonRepository(options: TritonRepositoryOptions): Promise<void> {
  const { bundle, folder, model } = options;
  const { batched, unbatched } = servedModels(model, bundle.manifest);
  await requireSamePorts({ folder, model }, bundle.manifest, modelVersion(bundle.manifest.revision));
  await writeModel(options, batched, batchedConfig(batched), (path) =>
    writeBatchableGraph(bundle.graphPath, path),
  );
  await writeModel(options, unbatched, unbatchedConfig(unbatched), (path) =>
    linkOrCopy(bundle.graphPath, path),
  );
}

/**
 * Checks whether models with these shapes may be written into a repository, which can be done before a bundle
 * exists.
 *
 * @param version the version that would be replaced, if any
 * @throws BundleError if the repository holds a version with other ports
 */
export async function requireSamePorts(
  { folder, model }: Pick<TritonRepositoryOptions, "folder" | "model">,
  shapes: PortShapes,
  version?: string,
): Promise<void> {
  const { batched, unbatched } = servedModels(model, shapes);
  await requirePorts(join(folder, batched.name), version, batchedPorts(batched));
  await requirePorts(join(folder, unbatched.name), version, unbatchedPorts(unbatched));
}

async function requirePorts(modelFolder: string, version: string | undefined, wanted: string): Promise<void> {
  const config = join(modelFolder, CONFIG_FILE);
  if (!(await fileExists(config)) || (await readFile(config, "utf8")).includes(wanted)) return;
  const others = (await readdir(modelFolder)).filter((name) => /^\d+$/.test(name) && name !== version);
  if (others.length === 0) return;
  throw new BundleError(
    `${modelFolder} holds version ${others.join(", ")} with another picture size or other outputs, which Triton could not serve beside this one. Write to another folder, or delete the versions that are no longer used.`,
  );
}

async function writeModel(
  { bundle, folder, device }: TritonRepositoryOptions,
  { name, inputs }: ServedModel,
  config: string,
  writeGraph: (path: string) => Promise<void>,
): Promise<void> {
  const { id, revision } = bundle.manifest;
  const version = join(folder, name, modelVersion(revision));
  await mkdir(version, { recursive: true });
  await writeWarmUpFiles(join(folder, name, WARM_UP_FOLDER), inputs);
  await rm(join(version, GRAPH_FILE), { force: true });
  await writeGraph(join(version, GRAPH_FILE));
  const weights = weightsPath(bundle.graphPath);
  if (await fileExists(weights)) await linkOrCopy(weights, join(version, basename(weights)));
  await writeFile(
    join(folder, name, CONFIG_FILE),
    `# Written by model:build.
${config}
instance_group [ { count: 1, kind: ${device === "gpu" ? "KIND_GPU" : "KIND_CPU"} } ]
# Every revision in the folder is served: a backend calls its own by number.
version_policy: { all { } }
# Captions are cached by the SHA-256 of their pictures, before a request comes this far.
response_cache { enable: false }
parameters { key: "id" value: { string_value: ${JSON.stringify(id)} } }
parameters { key: "revision" value: { string_value: "${revision}" } }
`,
  );
}

function batchedConfig(served: ServedModel): string {
  const { name, inputs } = served;
  const warmUp = (rows: number) => `  {
    name: "batch of ${rows}"
    batch_size: ${rows}
${warmUpInputs(inputs.map(withoutBatch))}
  }`;
  return `name: "${name}"
backend: "onnxruntime"
max_batch_size: ${MAX_BATCHED_ROWS}
${batchedPorts(served)}
# No waiting window: the next batch fills while the last one runs.
dynamic_batching {
  default_queue_policy {
    timeout_action: REJECT
    default_timeout_microseconds: ${MAX_QUEUED_MICROSECONDS}
    max_queue_size: ${MAX_QUEUED_REQUESTS}
  }
}
model_warmup [
${[1, MAX_BATCHED_ROWS].map(warmUp).join(",\n")}
]`;
}

function unbatchedConfig(served: ServedModel): string {
  const { name, inputs } = served;
  return `name: "${name}"
backend: "onnxruntime"
# No batching by Triton: its requests bring their own batch dimension, and options that hold for all of it.
max_batch_size: 0
${unbatchedPorts(served)}
model_warmup [
  {
    name: "beams after a prompt"
    batch_size: 1
${warmUpInputs(inputs)}
  }
]`;
}

function batchedPorts({ inputs, outputs }: ServedModel): string {
  return unbatchedPorts({ inputs: inputs.map(withoutBatch), outputs: outputs.map(withoutBatch) });
}

function unbatchedPorts({ inputs, outputs }: Pick<ServedModel, "inputs" | "outputs">): string {
  return `${ports("input", inputs)}\n${ports("output", outputs)}`;
}

/** Triton adds the batch dimension of a batched model itself. */
function withoutBatch({ shape, ...port }: ServedPort): ServedPort {
  return { ...port, shape: shape.slice(1) };
}

function ports(kind: "input" | "output", served: readonly ServedPort[]): string {
  const lines = served.map(
    ({ name, datatype, shape }) =>
      `  { name: "${name}", data_type: TYPE_${datatype}, dims: [ ${shape.join(", ")} ] }`,
  );
  return `${kind} [\n${lines.join(",\n")}\n]`;
}

/** Black pictures and, if there is one, a prompt of one token. */
function warmUpInputs(inputs: readonly ServedPort[]): string {
  return inputs
    .map(({ name, datatype, shape }) => {
      const data = name in WARM_UP_VALUES ? `input_data_file: "${name}"` : "zero_data: true";
      const dims = shape.map((size) => (size === -1 ? 1 : size)).join(", ");
      return `    inputs {
      key: "${name}"
      value: { data_type: TYPE_${datatype}, dims: [ ${dims} ], ${data} }
    }`;
    })
    .join("\n");
}

/** Writes one raw int64 for each. */
async function writeWarmUpFiles(folder: string, inputs: readonly ServedPort[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const { name } of inputs) {
    const value = WARM_UP_VALUES[name];
    if (value !== undefined) await writeFile(join(folder, name), BigInt64Array.of(BigInt(value)));
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  // The repository may be on another file system, or on one without links.
  await link(from, to).catch(() => copyFile(from, to));
}
