/**
 * Merges a PEFT LoRA adapter into base weights, in float32, one tensor at a time as it is read. Supports linear
 * layers, convolutions and embeddings, DoRA's magnitudes, and modules that the adapter has trained whole. The
 * merged weights compute what peft's unmerged model computes. Other methods are refused by name
 * (adapter-config.ts).
 */

import {
  type AdapterConfig,
  isInTransformedLayer,
  namesModule,
  readAdapterConfig,
  scaleOf,
} from "./adapter-config.ts";
import { addLowRank, setMagnitudes } from "./low-rank.ts";
import { openWeightFolder } from "./safetensors.ts";
import { elementCount, tensorInfo, WeightError, type WeightSource } from "./weights.ts";

/** An adapter as it is stored. */
export interface Adapter {
  readonly config: AdapterConfig;
  readonly weights: WeightSource;
}

/** Base weights with an adapter merged in. */
export interface MergedWeights extends WeightSource {
  /** Names of the tensors that differ from the base's. */
  readonly changed: ReadonlySet<string>;
}

/** What the adapter holds for one module. */
interface LowRankPair {
  /** Names of its tensors in the adapter. */
  readonly a: string;
  readonly b: string;
  readonly magnitude: string | undefined;
  readonly scale: number;
  /** Whether it is for an embedding, whose words are rows and whose matrices are stored the other way round. */
  readonly transposed: boolean;
}

/** Opens the adapter in `folder`. @throws WeightError for a method that cannot be merged here */
export async function openAdapter(folder: string): Promise<Adapter> {
  return {
    config: await readAdapterConfig(folder),
    weights: await openWeightFolder(folder, "adapter_model"),
  };
}

/**
 * The base with the layers that the adapter brings along: tensors under a module's `base_layer`, which peft puts
 * into the base before anything is added to them.
 */
export function withBaseLayers(base: WeightSource, { weights }: Adapter): WeightSource {
  const replaced = new Map<string, string>();
  for (const name of weights.tensors.keys()) {
    if (name.includes(".base_layer.") && !/\.lora_/.test(name)) replaced.set(moduleTensor(name), name);
  }
  return replace(base, weights, replaced);
}

/**
 * Merges the adapter into the base weights; shapes and names stay the base's.
 * @throws WeightError if a tensor of the adapter has no place in the base or another shape, or if a target has no
 * tensor
 */
export function mergeAdapter(base: WeightSource, adapter: Adapter): MergedWeights {
  const { config, weights } = adapter;
  const pairs = new Map<string, LowRankPair>();
  const biases = new Map<string, { readonly name: string; readonly scale: number }>();
  const whole = new Map<string, string>();
  for (const name of weights.tensors.keys()) {
    // For a module trained whole, peft also saves the base's own, unused; `bias: all` saves its biases twice as well.
    if (name.includes(".original_module.") || isSavedAgain(name, weights)) continue;
    const path = moduleTensor(name);
    const [, module, kind = ""] = /^(.*)\.(lora_\w+)(?:\.\w+)*$/.exec(path) ?? [];
    if (module === undefined) whole.set(path, name);
    else if (kind === "lora_B" && path.endsWith(".bias")) {
      if (!config.lora_bias) throw contradiction(name, "lora_bias");
      biases.set(`${module}.bias`, { name, scale: scaleOf(config, module).scale });
    } else if (kind === "lora_A" || kind === "lora_embedding_A") {
      const other = pairs.get(`${module}.weight`);
      if (other)
        throw new WeightError(`Tensors '${other.a}' and '${name}' belong to two adapters in one file.`);
      pairs.set(`${module}.weight`, pairOf(module, name, adapter));
    } else if (!isBesideItsA(name, kind, weights)) {
      throw new WeightError(
        `Tensor '${name}' has no ${kind.replace(/B$/, "A")} beside it; the adapter is incomplete.`,
      );
    }
  }
  if (pairs.size === 0 && whole.size === 0) throw new WeightError("The adapter holds no tensors.");

  for (const [target, pair] of pairs) requireFit(base, target, pair, weights);
  for (const [target, name] of whole) requireSameShape(base, target, name, weights);
  for (const [target, { name }] of biases) requireSameShape(base, target, name, weights);
  requireTargets(base, config, pairs);
  requireEverySavedModule(base, config, whole);

  const bottom = replace(base, weights, whole);
  return {
    tensors: base.tensors,
    changed: new Set([...whole.keys(), ...pairs.keys(), ...biases.keys()]),
    async read(name) {
      const values = await bottom.read(name);
      const pair = pairs.get(name);
      if (pair) await mergePair(values, tensorInfo(base, name).shape, pair, weights);
      const bias = biases.get(name);
      if (bias) {
        const added = await weights.read(bias.name);
        for (let i = 0; i < values.length; i++) {
          values[i] = (values[i] as number) + bias.scale * (added[i] as number);
        }
      }
      return values;
    },
  };
}

function replace(
  base: WeightSource,
  weights: WeightSource,
  names: ReadonlyMap<string, string>,
): WeightSource {
  const tensors = new Map(base.tensors);
  for (const [target, name] of names) tensors.set(target, tensorInfo(weights, name));
  return {
    tensors,
    read(name) {
      const replacement = names.get(name);
      return replacement === undefined ? base.read(name) : weights.read(replacement);
    },
  };
}

async function mergePair(
  values: Float32Array,
  shape: readonly number[],
  pair: LowRankPair,
  weights: WeightSource,
): Promise<void> {
  const [a, b] = await Promise.all([weights.read(pair.a), weights.read(pair.b)]);
  const rows = shape[0] as number;
  const matrix = { values, rows, columns: elementCount(shape) / rows };
  const rank = tensorInfo(weights, pair.a).shape[0] as number;
  addLowRank(matrix, { a, b, rank, scale: pair.scale, transposed: pair.transposed });
  if (pair.magnitude === undefined) return;
  setMagnitudes(matrix, { magnitude: await weights.read(pair.magnitude), byColumn: pair.transposed });
}

/**
 * The base's name for a tensor: `base_model.model.text_decoder...query.lora_A.weight` is about
 * `text_decoder...query`.
 */
function moduleTensor(name: string): string {
  return name
    .replace(/^base_model\.model\./, "")
    .replace(/\.modules_to_save\.\w+\./, ".")
    .replace(/\.base_layer\./, ".");
}

/**
 * Whether this is a second copy: `bias: all` saves the biases of modules trained whole again under their wrapper,
 * with the adapter's name or without.
 */
function isSavedAgain(name: string, { tensors }: WeightSource): boolean {
  const wrappers = [/\.modules_to_save\./, /\.modules_to_save\.\w+\./];
  return wrappers.some((wrapper) => wrapper.test(name) && tensors.has(name.replace(wrapper, ".")));
}

function pairOf(module: string, a: string, { config, weights }: Adapter): LowRankPair {
  const isEmbedding = a.includes("lora_embedding_A");
  const b = a.replace(
    isEmbedding ? "lora_embedding_A" : "lora_A",
    isEmbedding ? "lora_embedding_B" : "lora_B",
  );
  if (!weights.tensors.has(b)) {
    throw new WeightError(`Tensor '${a}' has no lora_B beside it; the adapter is incomplete.`);
  }
  const prefix = a.slice(0, a.indexOf(".lora_") + 1);
  const magnitude = [...weights.tensors.keys()].find((name) =>
    name.startsWith(`${prefix}lora_magnitude_vector`),
  );
  if (config.use_dora && magnitude === undefined) {
    throw new WeightError(`Tensor '${a}' has no lora_magnitude_vector beside it; the adapter is incomplete.`);
  }
  if (!config.use_dora && magnitude !== undefined) throw contradiction(magnitude, "use_dora");
  const { rank, scale } = scaleOf(config, module);
  const held = tensorInfo(weights, a).shape[0];
  if (held !== rank) {
    throw new WeightError(
      `Tensor '${a}' has rank ${held}, but adapter_config.json says ${rank} for it: they belong to different adapters.`,
    );
  }
  return { a, b, magnitude, scale, transposed: isEmbedding };
}

/** peft ignores a tensor that the configuration does not announce, so the captions would be another model's. */
function contradiction(name: string, setting: string): WeightError {
  return new WeightError(
    `The adapter holds '${name}', but adapter_config.json does not say ${setting}: they belong to different adapters.`,
  );
}

/** Whether the adapter also holds the lora_A that this tensor belongs to. */
function isBesideItsA(name: string, kind: string, weights: WeightSource): boolean {
  const prefix = name.slice(0, name.indexOf(`.${kind}`) + 1);
  const partners = [...weights.tensors.keys()].filter((other) => other.startsWith(prefix));
  return partners.some(
    (other) => other.startsWith(`${prefix}lora_A`) || other.startsWith(`${prefix}lora_embedding_A`),
  );
}

function requireFit(base: WeightSource, target: string, pair: LowRankPair, weights: WeightSource): void {
  const info = base.tensors.get(target);
  if (!info) {
    throw new WeightError(
      `Tensor '${pair.a}' of the adapter has no '${target}' in the base. Was it trained on this base model?`,
    );
  }
  const a = tensorInfo(weights, pair.a).shape;
  const b = tensorInfo(weights, pair.b).shape;
  const [rows = 0, ...rest] = info.shape;
  const columns = elementCount(rest);
  const [outer, inner] = pair.transposed ? [columns, rows] : [rows, columns];
  const fits =
    info.shape.length >= 2 &&
    elementCount(a.slice(1)) === inner &&
    b[0] === outer &&
    elementCount(b.slice(1)) === a[0];
  if (!fits) {
    throw new WeightError(
      `The adapter's '${target}' does not fit: lora_B [${b}] times lora_A [${a}] onto a base of [${info.shape}]. ` +
        "Was it trained on a base of another size?",
    );
  }
  if (pair.magnitude === undefined) return;
  const magnitudes = elementCount(tensorInfo(weights, pair.magnitude).shape);
  if (magnitudes !== outer) {
    throw new WeightError(
      `Tensor '${pair.magnitude}' has ${magnitudes} magnitudes; '${target}' needs ${outer}.`,
    );
  }
}

function requireSameShape(base: WeightSource, target: string, name: string, weights: WeightSource): void {
  const shape = base.tensors.get(target)?.shape;
  if (!shape) throw new WeightError(`Tensor '${name}' of the adapter has no '${target}' in the base.`);
  const own = tensorInfo(weights, name).shape;
  if (String(shape) !== String(own)) {
    throw new WeightError(`Tensor '${name}' is [${own}], but the base's '${target}' is [${shape}].`);
  }
}

/**
 * @throws WeightError naming a module that the configuration targets by name but the adapter has no matrices for,
 * or one that it has matrices for but the configuration does not target
 */
function requireTargets(
  base: WeightSource,
  config: AdapterConfig,
  pairs: ReadonlyMap<string, LowRankPair>,
): void {
  const { target_modules: targets } = config;
  // In these cases peft decides which modules count; the pairs themselves have been checked.
  if (!targets || targets === "all-linear") return;
  for (const [name, { shape }] of base.tensors) {
    if (shape.length < 2 || !name.endsWith(".weight") || pairs.has(name)) continue;
    const module = name.slice(0, -".weight".length);
    if (!isTargeted(config, targets, module)) continue;
    throw new WeightError(
      `adapter_config.json targets '${module}', but adapter_model holds no lora_A and lora_B for it. ` +
        "The adapter was made for another model or was not saved whole.",
    );
  }
  for (const [target, { a }] of pairs) {
    const module = target.slice(0, -".weight".length);
    if (!isTargeted(config, targets, module)) throw contradiction(a, `that it targets '${module}'`);
  }
}

/** PEFT's rule; a path given in full applies in every layer. */
function isTargeted(config: AdapterConfig, targets: string | readonly string[], module: string): boolean {
  const { exclude_modules: excluded } = config;
  if ((excluded && namesModule(excluded, module)) || isSavedWhole(config, module)) return false;
  const isNamedInFull = [targets].flat().includes(module);
  return isNamedInFull || (namesModule(targets, module) && isInTransformedLayer(config, module));
}

/** @throws WeightError naming a tensor that the adapter lacks although its module was trained whole */
function requireEverySavedModule(
  base: WeightSource,
  config: AdapterConfig,
  whole: ReadonlyMap<string, string>,
): void {
  for (const name of base.tensors.keys()) {
    // Some older files hold position numbers, which are not trained and which peft does not save.
    if (whole.has(name) || name.endsWith(".position_ids")) continue;
    if (!isSavedWhole(config, name.slice(0, name.lastIndexOf(".")))) continue;
    throw new WeightError(
      `adapter_config.json says modules_to_save, but adapter_model holds no '${name}'. ` +
        "The adapter was made for another model or was not saved whole.",
    );
  }
}

/** Whether a module was trained whole or lies inside one that was. */
function isSavedWhole({ modules_to_save: saved }: AdapterConfig, module: string): boolean {
  return saved?.some((name) => `.${module}.`.includes(`.${name}.`)) ?? false;
}
