import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mergeAdapter, openAdapter } from "../../../../backend/model/weights/lora.ts";
import { openSafetensors, openWeightFolder } from "../../../../backend/model/weights/safetensors.ts";
import type { WeightSource } from "../../../../backend/model/weights/weights.ts";
import { f32, type TestTensor, writeSafetensors } from "../../../support/safetensors.ts";
import {
  largestDifference,
  readTinyReference,
  TINY_ADAPTER,
  TINY_BASE,
  temporaryFolder,
} from "../../../support/tiny-blip.ts";

/** A base of two targets, [2, 3] each, and one bias. */
async function smallBase(): Promise<WeightSource> {
  const path = join(await temporaryFolder(), "base.safetensors");
  await writeSafetensors(path, {
    "layer.0.query.weight": f32([2, 3], [1, 2, 3, 4, 5, 6]),
    "layer.1.query.weight": f32([2, 3], [0, 0, 0, 0, 0, 0]),
    "head.bias": f32([2], [1, 1]),
  });
  return openSafetensors(path);
}

const A = f32([1, 3], [1, 0, 2]);
const B = f32([2, 1], [10, 20]);
const BOTH = {
  "base_model.model.layer.0.query.lora_A.weight": A,
  "base_model.model.layer.0.query.lora_B.weight": B,
  "base_model.model.layer.1.query.lora_A.weight": A,
  "base_model.model.layer.1.query.lora_B.weight": B,
};

async function adapterOf(config: Record<string, unknown>, tensors: Readonly<Record<string, TestTensor>>) {
  const folder = await temporaryFolder();
  const base = { peft_type: "LORA", r: 1, lora_alpha: 2, target_modules: ["query"] };
  await writeFile(join(folder, "adapter_config.json"), JSON.stringify({ ...base, ...config }));
  await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors);
  return openAdapter(folder);
}

describe("mergeAdapter", () => {
  test("equals peft's merge_and_unload within 1e-6", async () => {
    const { merged } = readTinyReference();
    const base = await openWeightFolder(TINY_BASE.folder, "model");
    const weights = mergeAdapter(base, await openAdapter(TINY_ADAPTER.folder));
    const values = await weights.read(merged.name);
    expect(largestDifference(values, merged.values)).toBeLessThan(1e-6);
    expect(largestDifference(await base.read(merged.name), merged.values)).toBeGreaterThan(0.1);
  });

  test("scales by alpha / r and leaves the rest alone", async () => {
    const merged = mergeAdapter(await smallBase(), await adapterOf({}, BOTH));
    expect([...(await merged.read("layer.0.query.weight"))]).toEqual([21, 2, 43, 44, 5, 86]);
    expect([...(await merged.read("head.bias"))]).toEqual([1, 1]);
  });

  test("scales by alpha / sqrt(r) for rank-stabilized LoRA", async () => {
    const wide = {
      ...BOTH,
      "base_model.model.layer.1.query.lora_A.weight": f32([4, 3], Array(12).fill(1)),
      "base_model.model.layer.1.query.lora_B.weight": f32([2, 4], Array(8).fill(1)),
    };
    const config = {
      use_rslora: true,
      rank_pattern: { "layer.1.query": 4 },
      // The first one matches no name from a dot on.
      alpha_pattern: { uery: 100, "1.query": 6 },
    };
    const merged = mergeAdapter(await smallBase(), await adapterOf(config, wide));
    expect([...(await merged.read("layer.1.query.weight"))]).toEqual(Array(6).fill(4 * 3));
  });

  test("ignores fan_in_fan_out, as peft does for linear layers", async () => {
    const merged = mergeAdapter(await smallBase(), await adapterOf({ fan_in_fan_out: true }, BOTH));
    expect([...(await merged.read("layer.0.query.weight"))]).toEqual([21, 2, 43, 44, 5, 86]);
  });

  test("names a tensor whose rank is not the configuration's", async () => {
    const adapter = await adapterOf({ rank_pattern: { "1.query": 3 } }, BOTH);
    const base = await smallBase();
    expect(() => mergeAdapter(base, adapter)).toThrow(/layer\.1\.query\.lora_A\.weight' has rank 1.*says 3/);
  });

  test("replaces tensors that were trained whole (modules_to_save)", async () => {
    const tensors = { ...BOTH, "base_model.model.head.bias": f32([2], [7, 8]) };
    const merged = mergeAdapter(await smallBase(), await adapterOf({ modules_to_save: ["head"] }, tensors));
    expect([...(await merged.read("head.bias"))]).toEqual([7, 8]);
  });

  test.each([
    ["peft 0.21", "head.modules_to_save.bias"],
    ["peft 0.10, of a module within", "head.modules_to_save.inner.bias"],
    ["peft 0.21, of a module within", "head.modules_to_save.default.inner.bias"],
  ])("passes over the biases that bias: all saves again of modules_to_save: %s", async (_name, again) => {
    const path = join(await temporaryFolder(), "base.safetensors");
    const bias = again.includes("inner") ? "head.inner.bias" : "head.bias";
    await writeSafetensors(path, {
      "layer.0.query.weight": f32([2, 3], Array(6).fill(0)),
      [bias]: f32([2], [1, 1]),
    });
    const tensors = {
      "base_model.model.layer.0.query.lora_A.weight": A,
      "base_model.model.layer.0.query.lora_B.weight": B,
      [`base_model.model.${bias}`]: f32([2], [7, 8]),
      [`base_model.model.${again}`]: f32([2], [7, 8]),
      [`base_model.model.${bias.replace("head", "head.original_module")}`]: f32([2], [1, 1]),
    };
    const adapter = await adapterOf({ bias: "all", modules_to_save: ["head"] }, tensors);
    const merged = mergeAdapter(await openSafetensors(path), adapter);
    expect([...(await merged.read(bias))]).toEqual([7, 8]);
  });

  test("names a missing tensor of a module that was trained whole", async () => {
    const adapter = await adapterOf({ modules_to_save: ["head"] }, BOTH);
    const base = await smallBase();
    expect(() => mergeAdapter(base, adapter)).toThrow(/modules_to_save, but .* holds no 'head\.bias'/);
  });

  test("ignores a module_to_save that the base does not have, as peft does", async () => {
    const merged = mergeAdapter(
      await smallBase(),
      await adapterOf({ modules_to_save: ["classifier"] }, BOTH),
    );
    expect((await merged.read("layer.0.query.weight"))[0]).toBe(21);
  });

  test.each([
    ["DoRA", "lora_magnitude_vector", f32([2], [1, 1]), /does not say use_dora/],
    ["a bias of its own", "lora_B.bias", f32([2], [1, 1]), /does not say lora_bias/],
    ["a second adapter", "lora_A.second.weight", A, /lora_A\.second\.weight.*two adapters/],
  ])(
    "names a tensor of %s that the configuration does not announce",
    async (_name, tensor, value, message) => {
      const tensors = { ...BOTH, [`base_model.model.layer.1.query.${tensor}`]: value };
      const adapter = await adapterOf({}, tensors);
      const base = await smallBase();
      expect(() => mergeAdapter(base, adapter)).toThrow(message);
    },
  );

  test.each([
    [{ target_modules: ["0.query"] }],
    [{ target_modules: "layer\\.0\\..*" }],
    [{ target_modules: "layer\\.0\\.query|1\\.query" }],
    [{ exclude_modules: ["1.query"] }],
    [{ layers_to_transform: [0], layers_pattern: "layer" }],
  ])("names a tensor of a module that the configuration does not target: %j", async (config) => {
    const adapter = await adapterOf(config, BOTH);
    const base = await smallBase();
    expect(() => mergeAdapter(base, adapter)).toThrow(
      /layer\.1\.query\.lora_A\.weight', but .* does not say that it targets 'layer\.1\.query'/,
    );
  });

  test("names a pattern that would take for ever to match", async () => {
    const adapter = await adapterOf({ target_modules: "((((([a-z.\\d]+)+)+)+)+)+X" }, BOTH);
    const base = await smallBase();
    expect(() => mergeAdapter(base, adapter)).toThrow("takes too long to match against 'layer.0.query'");
  });

  test("takes targets by pattern", async () => {
    const one = {
      "base_model.model.layer.0.query.lora_A.default.weight": A,
      "base_model.model.layer.0.query.lora_B.default.weight": B,
    };
    const merged = mergeAdapter(
      await smallBase(),
      await adapterOf({ target_modules: "layer\\.0\\..*" }, one),
    );
    expect([...(await merged.read("layer.1.query.weight"))]).toEqual([0, 0, 0, 0, 0, 0]);
    expect((await merged.read("layer.0.query.weight"))[0]).toBe(21);
  });

  test.each([
    ["what JavaScript takes for other characters", { alpha_pattern: { "layer\\.1\\.query\\Z": 6 } }],
    ["a count without its lower end", { rank_pattern: { "layer\\.\\d{,2}\\.query": 1 } }],
    ["a set that begins with a bracket", { alpha_pattern: { "layer\\.1\\.[]q]uery": 6 } }],
    ["a group as Python names it", { target_modules: "(?P<part>.*)\\.query" }],
    ["a flag inside", { target_modules: "(?i).*QUERY" }],
  ])("names a pattern of Python that it would read otherwise: %s", async (_name, config) => {
    const [pattern] = Object.values(config).map((value) =>
      typeof value === "string" ? value : Object.keys(value)[0],
    );
    const one = {
      "base_model.model.layer.0.query.lora_A.weight": A,
      "base_model.model.layer.0.query.lora_B.weight": B,
    };
    const adapter = await adapterOf(config, one);
    const base = await smallBase();
    expect(() => mergeAdapter(base, adapter)).toThrow(
      `the pattern '${pattern}', which only Python understands`,
    );
  });

  test("names a tensor that the base does not have", async () => {
    const stray = {
      ...BOTH,
      "base_model.model.other.lora_A.weight": A,
      "base_model.model.other.lora_B.weight": B,
    };
    const adapter = await adapterOf({}, stray);
    const base = await smallBase();
    expect(() => mergeAdapter(base, adapter)).toThrow(/other\.lora_A\.weight.*trained on this base/);
  });

  test("names a tensor of the wrong shape", async () => {
    const wrong = { ...BOTH, "base_model.model.layer.0.query.lora_A.weight": f32([1, 4], [1, 1, 1, 1]) };
    const adapter = await adapterOf({}, wrong);
    const base = await smallBase();
    expect(() => mergeAdapter(base, adapter)).toThrow(/layer\.0\.query\.weight' does not fit.*\[1,4\]/);
  });

  test.each([
    [{ layers_to_transform: 0, layers_pattern: "layer" }, "merges"],
    [{ layers_to_transform: [1], layers_pattern: ["blocks", "layer"] }, "layer.1.query"],
    [{ layers_to_transform: [0, 1], layers_pattern: "layer" }, "layer.1.query"],
    [{ layers_to_transform: [], layers_pattern: "layer" }, "layer.1.query"],
    [{ layers_to_transform: [0], target_modules: ["layer.1.query"] }, "layer.1.query"],
  ])("an adapter of the first layer that says %o: %s", async (config, answer) => {
    const [a, b] = Object.entries(BOTH) as [[string, TestTensor], [string, TestTensor]];
    const adapter = await adapterOf(config, Object.fromEntries([a, b]));
    const base = await smallBase();
    const merging = expect(() => mergeAdapter(base, adapter));
    if (answer === "merges") merging.not.toThrow();
    else merging.toThrow(`targets '${answer}'`);
  });

  test("names a target that the adapter has no matrices for", async () => {
    const [a, b] = Object.entries(BOTH) as [[string, TestTensor], [string, TestTensor]];
    const adapter = await adapterOf({}, Object.fromEntries([a, b]));
    const base = await smallBase();
    expect(() => mergeAdapter(base, adapter)).toThrow(/targets 'layer\.1\.query'/);
  });
});

describe("openAdapter", () => {
  test.each([
    [{ use_qalora: true }, /use_qalora.*merge_and_unload/],
    [{ layer_replication: [[0, 1]] }, /layer_replication/],
    [{ trainable_token_indices: [3] }, /trainable_token_indices/],
    [{ a_method_of_tomorrow: { on: true } }, /a_method_of_tomorrow/],
    [{ init_lora_weights: "pissa" }, /pissa.*path_initial_model_for_weight_conversion/],
    [{ init_lora_weights: "pissa_niter_16" }, /pissa_niter_16/],
    [{ init_lora_weights: "olora" }, /olora/],
    [{ init_lora_weights: "corda" }, /corda/],
    [{ init_lora_weights: "loftq" }, /loftq/],
    [{ init_lora_weights: "lora_ga" }, /lora_ga/],
    [{ init_lora_weights: "mica" }, /mica/],
    [{ peft_type: "IA3" }, /IA3 adapter/],
    [{ r: 0 }, /cannot be used/],
  ])("refuses %o by name", async (config, message) => {
    await expect(adapterOf(config, BOTH)).rejects.toThrow(message);
  });
});
