/**
 * PEFT's adapter_config.json: which of its LoRA methods can be merged here, and which are refused by name.
 * https://huggingface.co/docs/peft/package_reference/lora
 */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Script } from "node:vm";
import * as z from "zod";
import { fileExists } from "../../bundle/file-exists.ts";
import { readJsonFile } from "../../bundle/json-file.ts";
import { WeightError } from "./weights.ts";

const CONFIG_FILE = "adapter_config.json";

const Names = z.union([z.string(), z.array(z.string())]);
const Pattern = z.record(z.string(), z.number());

/** Every field that affects a merge. The other fields are kept for `requireMergeable`. */
const AdapterConfig = z.looseObject({
  peft_type: z.string(),
  r: z.number().int().positive(),
  lora_alpha: z.number(),
  target_modules: Names.nullish(),
  exclude_modules: Names.nullish(),
  modules_to_save: z.array(z.string()).nullish(),
  layers_to_transform: z.union([z.number(), z.array(z.number())]).nullish(),
  layers_pattern: Names.nullish(),
  use_rslora: z.boolean().default(false),
  use_dora: z.boolean().default(false),
  lora_bias: z.boolean().default(false),
  rank_pattern: Pattern.nullish(),
  alpha_pattern: Pattern.nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
});
export type AdapterConfig = z.infer<typeof AdapterConfig>;

/** Fields that never affect the merged weights, whatever their value. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  ...Object.keys(AdapterConfig.shape),
  "auto_mapping",
  "base_model_name_or_path",
  // The biases that it trains are in the adapter's tensors.
  "bias",
  "ensure_weight_tying",
  "eva_config",
  // For layers that BLIP does not have; peft ignores it for linear ones.
  "fan_in_fan_out",
  "inference_mode",
  // Used only with init_lora_weights, which is checked separately.
  "corda_config",
  "loftq_config",
  "lora_ga_config",
  "lora_dropout",
  "megatron_config",
  "megatron_core",
  "peft_version",
  "qalora_group_size",
  "revision",
  "runtime_config",
  "task_type",
]);

/**
 * Initializations that leave the base as it is. The others change it when peft loads the adapter, or need their
 * training data.
 */
const PLAIN_STARTS: ReadonlySet<string> = new Set(["true", "false", "gaussian", "eva", "orthogonal"]);

const MERGE_FIRST = "Merge it with peft's merge_and_unload and give the merged model as the base.";

/** Reads the configuration of the adapter in `folder`. @throws WeightError for a method that cannot be merged here */
export async function readAdapterConfig(folder: string): Promise<AdapterConfig> {
  const path = join(folder, CONFIG_FILE);
  if (!(await fileExists(path))) await refuseNamed(folder);
  const config = await readJsonFile(path, AdapterConfig, WeightError);
  requireMergeable(config, path);
  return config;
}

/**
 * Looks for named adapters: one not called "default" lies in a subfolder of its name.
 * @throws WeightError if there are any
 */
async function refuseNamed(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  const inside = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
  const hasAdapter = await Promise.all(inside.map((one) => fileExists(join(one, CONFIG_FILE))));
  const named = inside.filter((_, i) => hasAdapter[i]);
  if (named.length > 0)
    throw new WeightError(`${folder} has its adapters in folders of their own: name ${named.join(" or ")}.`);
}

function requireMergeable(config: AdapterConfig, path: string): void {
  if (config.peft_type !== "LORA") {
    throw new WeightError(
      `${path} is a ${config.peft_type} adapter; only LORA is merged here. ${MERGE_FIRST}`,
    );
  }
  const unknown = Object.entries(config).find(([name, value]) => !WITHOUT_EFFECT.has(name) && isSet(value));
  if (unknown) throw new WeightError(`${path} sets ${unknown[0]}, which is not merged here. ${MERGE_FIRST}`);
  const start = String(config.init_lora_weights ?? true).toLowerCase();
  if (PLAIN_STARTS.has(start)) return;
  throw new WeightError(
    `${path} says init_lora_weights '${start}': peft changes the base when it loads such an adapter, so its matrices do ` +
      "not fit the base as it is. Save it as a plain one with peft's save_pretrained(..., " +
      `path_initial_model_for_weight_conversion=...), or: ${MERGE_FIRST}`,
  );
}

function isSet(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** The factor for a module's matrices, and their rank. */
export function scaleOf(
  config: AdapterConfig,
  module: string,
): { readonly rank: number; readonly scale: number } {
  const rank = patternValue(config.rank_pattern, module) ?? config.r;
  const alpha = patternValue(config.alpha_pattern, module) ?? config.lora_alpha;
  return { rank, scale: config.use_rslora ? alpha / Math.sqrt(rank) : alpha / rank };
}

/** PEFT's rule: a pattern applies if it matches the end of the module's path, from a dot on. */
function patternValue(
  patterns: Record<string, number> | null | undefined,
  module: string,
): number | undefined {
  const found = Object.entries(patterns ?? {}).find(([given]) => {
    const pattern = readPattern(given, (source) => `^(.*\\.)?(${source})$`);
    return matchOf(pattern, module) !== null;
  });
  return found?.[1];
}

/**
 * Escapes and a count that Python's `re` understands but JavaScript takes for plain characters, and the start of a
 * set.
 */
const READ_OTHERWISE = /\\[AZaNU]|\{,\d+\}|\[\^?\]/;

/** Compiles a pattern of Python's `re`. @throws WeightError if JavaScript would read it differently or not at all */
function readPattern(pattern: string, placed: (source: string) => string): RegExp {
  try {
    if (!READ_OTHERWISE.test(pattern)) return new RegExp(placed(pattern));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new WeightError(
    `adapter_config.json has the pattern '${pattern}', which only Python understands as intended. Write it without ` +
      `(?P<...>), (?i), \\A, \\Z and the like, or: ${MERGE_FIRST}`,
  );
}

/**
 * Matching takes microseconds, but a pattern whose steps double with every letter would never end and ignore every
 * signal.
 */
const MATCH_WITHIN_MS = 1_000;
const MATCH = new Script("pattern.exec(text)");

/** @throws WeightError if the pattern takes too long */
function matchOf(pattern: RegExp, text: string): RegExpExecArray | null {
  try {
    return MATCH.runInNewContext({ pattern, text }, { timeout: MATCH_WITHIN_MS });
  } catch (error) {
    // The error comes from the other context, so it is no instance of this one's Error.
    const isLate = (error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
    if (!isLate) throw error;
    throw new WeightError(
      `adapter_config.json has the pattern '${pattern.source}', which takes too long to match against '${text}'. ${MERGE_FIRST}`,
    );
  }
}

/** PEFT's rule: a list contains ends of paths; a string is a regular expression for the whole path. */
export function namesModule(names: string | readonly string[], module: string): boolean {
  if (typeof names === "string") {
    const pattern = readPattern(names, (source) => `^(?:${source})$`);
    return matchOf(pattern, module) !== null;
  }
  return names.some((name) => module === name || module.endsWith(`.${name}`));
}

/** PEFT's rule: the layer is the number in the path that follows a name in `layers_pattern`, or that follows any name. */
export function isInTransformedLayer(
  { layers_to_transform: layers, layers_pattern: names }: AdapterConfig,
  module: string,
): boolean {
  const wanted = [layers ?? []].flat();
  if (wanted.length === 0) return true;
  const given = [names ?? []].flat();
  const patterns =
    given.length === 0
      ? [/^.*?\.[^.]*\.(\d+)\./]
      : given.map((name) => readPattern(name, (source) => `^(?:.*?\\.)?${source}\\.(\\d+)\\.`));
  const layer = patterns.map((pattern) => matchOf(pattern, module)?.[1]).find((found) => found !== undefined);
  return layer !== undefined && wanted.includes(Number(layer));
}
