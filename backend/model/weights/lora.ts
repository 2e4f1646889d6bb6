/**
 * Merges a PEFT LoRA adapter into base weights: W + scale * B A, in float32, one tensor at a time.
 * Hu et al. 2021, arXiv:2106.09685; file format of https://github.com/huggingface/peft. Other methods are refused by name.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { openWeightFolder } from "./safetensors.ts";
import { type TensorInfo, tensorInfo, WeightError, type WeightSource } from "./weights.ts";

/** Switches of PEFT's LoRA whose result is not W + scale * B A. */
const UNMERGED_METHODS = [
  "use_dora",
  "use_qalora",
  "use_bdlora",
  "lora_bias",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "target_parameters",
  "trainable_token_indices",
] as const;

/** The fields of adapter_config.json that decide what a merge does. */
const AdapterConfig = z.looseObject({
  peft_type: z.string(),
  r: z.number().int().positive(),
  lora_alpha: z.number(),
  target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  exclude_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  modules_to_save: z.array(z.string()).nullish(),
  layers_to_transform: z.union([z.number(), z.array(z.number())]).nullish(),
  use_rslora: z.boolean().default(false),
  fan_in_fan_out: z.boolean().default(false),
  bias: z.string().default("none"),
  rank_pattern: z.record(z.string(), z.number()).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
});
export type AdapterConfig = z.infer<typeof AdapterConfig>;

/** An adapter as it lies on disk. */
export interface Adapter {
  readonly config: AdapterConfig;
  readonly weights: WeightSource;
}

interface LowRankPair {
  readonly a: string;
  readonly b: string;
  readonly scale: number;
}

/** Opens the adapter in `folder`. @throws WeightError for a method that is not merged here */
export async function openAdapter(folder: string): Promise<Adapter> {
  const path = join(folder, "adapter_config.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new WeightError(`${folder} is not a PEFT adapter: it has no adapter_config.json.`, { cause });
  }
  const parsed = AdapterConfig.safeParse(JSON.parse(text));
  if (!parsed.success) throw new WeightError(`${path} cannot be used:\n${z.prettifyError(parsed.error)}`);
  const config = parsed.data;
  const mergeFirst = "Merge it with peft's merge_and_unload and give the merged model as the base.";
  if (config.peft_type !== "LORA") {
    throw new WeightError(
      `${path} is a ${config.peft_type} adapter; only LORA is merged here. ${mergeFirst}`,
    );
  }
  const method = UNMERGED_METHODS.find((name) => isSet(config[name]));
  if (method) throw new WeightError(`${path} sets ${method}, which is not merged here. ${mergeFirst}`);
  return { config, weights: await openWeightFolder(folder, "adapter_model") };
}

/**
 * The base weights with the adapter merged in; shapes and names stay the base's.
 * @throws WeightError when a tensor of the adapter has no place in the base or another shape, or a target has none
 */
export function mergeAdapter(base: WeightSource, { config, weights }: Adapter): WeightSource {
  const pairs = new Map<string, LowRankPair>();
  const replacements = new Map<string, string>();
  for (const name of weights.tensors.keys()) {
    const path = baseName(name);
    const [, module, side] = /^(.*)\.lora_([AB])(?:\.\w+)?\.weight$/.exec(path) ?? [];
    if (module !== undefined) {
      if (side === "A") pairs.set(`${module}.weight`, pairOf(module, name, config, weights));
      else if (!weights.tensors.has(name.replace("lora_B", "lora_A"))) {
        throw new WeightError(`Tensor '${name}' has no lora_A beside it; the adapter is incomplete.`);
      }
    } else if (/\blora_/.test(path)) {
      throw new WeightError(
        `Tensor '${name}' is of a kind that is not merged here (only lora_A and lora_B are).`,
      );
    } else {
      replacements.set(path, name);
    }
  }
  if (pairs.size === 0 && replacements.size === 0) throw new WeightError("The adapter holds no tensors.");

  for (const [target, pair] of pairs) checkPair(base, target, pair, config, weights);
  for (const [target, name] of replacements) checkReplacement(base, target, tensorInfo(weights, name), name);
  const untrained = untrainedTarget(base, config, pairs);
  if (untrained) {
    throw new WeightError(
      `adapter_config.json targets '${untrained}', but adapter_model holds no lora_A and lora_B for it. ` +
        "The adapter was made for another model or was not saved whole.",
    );
  }

  return {
    tensors: base.tensors,
    async read(name) {
      const replacement = replacements.get(name);
      if (replacement) return weights.read(replacement);
      const pair = pairs.get(name);
      if (!pair) return base.read(name);
      const [matrix, a, b] = await Promise.all([base.read(name), weights.read(pair.a), weights.read(pair.b)]);
      const rank = tensorInfo(weights, pair.a).shape[0] as number;
      addLowRank(matrix, a, b, rank, pair.scale, config.fan_in_fan_out);
      return matrix;
    },
  };
}

function isSet(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

/** `base_model.model.text_decoder...query.lora_A.weight` is about the base's `text_decoder...query`. */
function baseName(name: string): string {
  return name
    .replace(/^base_model\.model\./, "")
    .replace(/\.modules_to_save\.\w+\./, ".")
    .replace(/\.base_layer\./, ".");
}

function pairOf(module: string, a: string, config: AdapterConfig, weights: WeightSource): LowRankPair {
  const b = a.replace("lora_A", "lora_B");
  if (!weights.tensors.has(b))
    throw new WeightError(`Tensor '${a}' has no lora_B beside it; the adapter is incomplete.`);
  const rank = patternValue(config.rank_pattern, module) ?? config.r;
  const alpha = patternValue(config.alpha_pattern, module) ?? config.lora_alpha;
  return { a, b, scale: config.use_rslora ? alpha / Math.sqrt(rank) : alpha / rank };
}

/** PEFT's rule: a pattern holds where it matches the end of the module's path, from a dot on. */
function patternValue(
  patterns: Record<string, number> | null | undefined,
  module: string,
): number | undefined {
  return Object.entries(patterns ?? {}).find(([pattern]) =>
    new RegExp(`(.*\\.)?(${pattern})$`).test(module),
  )?.[1];
}

function checkPair(
  base: WeightSource,
  target: string,
  pair: LowRankPair,
  config: AdapterConfig,
  weights: WeightSource,
): void {
  const info = base.tensors.get(target);
  if (!info) {
    throw new WeightError(
      `Tensor '${pair.a}' of the adapter has no '${target}' in the base. Was it trained on this base model?`,
    );
  }
  const a = tensorInfo(weights, pair.a).shape;
  const b = tensorInfo(weights, pair.b).shape;
  const [rows, columns] = config.fan_in_fan_out ? [info.shape[1], info.shape[0]] : info.shape;
  const fits = info.shape.length === 2 && a.length === 2 && b.length === 2;
  if (!fits || a[0] !== b[1] || b[0] !== rows || a[1] !== columns) {
    throw new WeightError(
      `The adapter's '${target}' does not fit: lora_B [${b}] times lora_A [${a}] onto a base of [${info.shape}]. ` +
        "Was it trained on a base of another size?",
    );
  }
}

function checkReplacement(base: WeightSource, target: string, info: TensorInfo, name: string): void {
  const shape = base.tensors.get(target)?.shape;
  if (!shape) throw new WeightError(`Tensor '${name}' of the adapter has no '${target}' in the base.`);
  if (String(shape) !== String(info.shape)) {
    throw new WeightError(`Tensor '${name}' is [${info.shape}], but the base's '${target}' is [${shape}].`);
  }
}

/** A module that the configuration targets by name and the adapter has no matrices for. */
function untrainedTarget(
  base: WeightSource,
  config: AdapterConfig,
  pairs: ReadonlyMap<string, LowRankPair>,
): string | undefined {
  const { target_modules: targets, exclude_modules: excluded, layers_to_transform: layers } = config;
  // Which layers count is then decided by more fields than this; the pairs themselves have been checked.
  if (!targets || targets === "all-linear" || (layers !== null && layers !== undefined)) return undefined;
  for (const [name, { shape }] of base.tensors) {
    if (shape.length !== 2 || !name.endsWith(".weight")) continue;
    const module = name.slice(0, -".weight".length);
    if (matches(targets, module) && !(excluded && matches(excluded, module)) && !pairs.has(name))
      return module;
  }
  return undefined;
}

/** PEFT's rule: a list names ends of paths, a string is a regular expression for the whole path. */
function matches(targets: string | readonly string[], module: string): boolean {
  if (typeof targets === "string") return new RegExp(`^(?:${targets})$`).test(module);
  return targets.some((target) => module === target || module.endsWith(`.${target}`));
}

/**
 * matrix += scale * B A, in place.
 * @param matrix [rows, columns], or [columns, rows] when `transposed`
 * @param a [rank, columns]
 * @param b [rows, rank]
 */
function addLowRank(
  matrix: Float32Array,
  a: Float32Array,
  b: Float32Array,
  rank: number,
  scale: number,
  transposed: boolean,
): void {
  const columns = a.length / rank;
  const rows = b.length / rank;
  const delta = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    delta.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k] as number;
      for (let column = 0; column < columns; column++) {
        delta[column] = (delta[column] as number) + factor * (a[k * columns + column] as number);
      }
    }
    for (let column = 0; column < columns; column++) {
      const at = transposed ? column * rows + row : row * columns + column;
      matrix[at] = (matrix[at] as number) + scale * (delta[column] as number);
    }
  }
}
