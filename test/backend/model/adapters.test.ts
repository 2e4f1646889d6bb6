import { existsSync, readFileSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { openBundle } from "../../../backend/bundle/bundle.ts";
import { createOnnxEngine } from "../../../backend/engines/onnx/engine.ts";
import { buildBundle } from "../../../backend/model/build.ts";
import type { ModelFolder } from "../../../backend/model/weights/model-folder.ts";
import { openSafetensors } from "../../../backend/model/weights/safetensors.ts";
import { f32, writeSafetensors } from "../../support/safetensors.ts";
import { largestDifference, TINY_BASE, temporaryFolder } from "../../support/tiny-blip.ts";

/** Made by reference/adapters.py with peft: adapters of many kinds, and what the unmerged models say. */
const FOLDER = fileURLToPath(new URL("../../fixtures/adapters", import.meta.url));

const Expected = z.object({
  token_ids: z.array(z.array(z.number())),
  log_probabilities: z.array(z.array(z.number())),
});
const Reference = z.object({
  pixels: z.array(z.number()).transform((values) => Uint8Array.from(values)),
  bases: z.record(z.string(), Expected),
  adapters: z.record(z.string(), Expected.extend({ base: z.string() })),
});
const reference = Reference.parse(JSON.parse(readFileSync(join(FOLDER, "reference.json"), "utf8")));

/** Starts that change the base when peft loads the adapter. */
const REFUSED = ["pissa", "olora", "mica"];
const merged = Object.keys(reference.adapters).filter((name) => !REFUSED.includes(name));

/** A base of the reference: the tiny one, and the tensors that this one has of its own, in one file. */
async function baseFolder(name: string): Promise<ModelFolder> {
  const own = join(FOLDER, "bases", name);
  if (!existsSync(own)) return TINY_BASE;
  const folder = join(await temporaryFolder(), name);
  await mkdir(folder);
  for (const file of ["preprocessor_config.json", "vocab.txt"]) {
    await copyFile(join(TINY_BASE.folder, file), join(folder, file));
  }
  await copyFile(join(own, "config.json"), join(folder, "config.json"));
  const tensors: Record<string, ReturnType<typeof f32>> = {};
  for (const path of [join(TINY_BASE.folder, "model.safetensors"), join(own, "own.safetensors")]) {
    const source = await openSafetensors(path);
    for (const [tensor, { shape }] of source.tensors)
      tensors[tensor] = f32(shape, [...(await source.read(tensor))]);
  }
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  return { id: `tests/${name}`, folder };
}

async function captionsOf(base: ModelFolder, adapter?: ModelFolder) {
  const out = join(await temporaryFolder(), "bundle");
  await buildBundle({ base, ...(adapter ? { adapter } : {}), dtypes: ["fp32"], out });
  const engine = await createOnnxEngine({ bundle: await openBundle(out) });
  const decoding = { maxNewTokens: 10, numBeams: 1, promptIds: [] };
  const sequences = await engine.generate(reference.pixels, 4, decoding);
  await engine.close();
  return sequences;
}

/** Tokens equal, log-probabilities within 1e-4; rows of the reference are padded after their end token. */
function expectSame(
  sequences: Awaited<ReturnType<typeof captionsOf>>,
  expected: z.infer<typeof Expected>,
): void {
  sequences.forEach(({ tokenIds, logProbabilities }, row) => {
    expect(tokenIds).toEqual(expected.token_ids[row]?.slice(0, tokenIds.length));
    const logs = expected.log_probabilities[row]?.slice(0, logProbabilities.length) ?? [];
    expect(largestDifference(logProbabilities, logs)).toBeLessThan(1e-4);
  });
}

describe("bases", () => {
  test.each(Object.keys(reference.bases))("%s says what transformers says", async (name) => {
    expectSame(await captionsOf(await baseFolder(name)), reference.bases[name] as z.infer<typeof Expected>);
  });
});

describe("adapters", () => {
  let plain: Awaited<ReturnType<typeof captionsOf>>;
  beforeAll(async () => {
    const out = reference.bases.tied;
    plain = (out?.token_ids ?? []).map((tokenIds, row) => ({
      tokenIds,
      logProbabilities: out?.log_probabilities[row] ?? [],
    }));
  });

  test.each(merged)("%s, merged, says what peft's unmerged model says", async (name) => {
    const expected = reference.adapters[name] as z.infer<typeof Expected> & { base: string };
    const adapter = { id: `tests/${name}`, folder: join(FOLDER, name) };
    expectSame(await captionsOf(await baseFolder(expected.base), adapter), expected);
    expect(expected.log_probabilities).not.toEqual(plain.map(({ logProbabilities }) => logProbabilities));
  });

  test.each(REFUSED.filter((name) => existsSync(join(FOLDER, name))))(
    "%s is refused with what to do",
    async (name) => {
      const adapter = { id: `tests/${name}`, folder: join(FOLDER, name) };
      const out = join(await temporaryFolder(), "bundle");
      await expect(buildBundle({ base: TINY_BASE, adapter, dtypes: ["fp32"], out })).rejects.toThrow(
        new RegExp(`init_lora_weights '${name}'.*path_initial_model_for_weight_conversion`),
      );
    },
  );
});
