import { cp, readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  BundleError,
  type OpenOptions,
  openBundle,
  variantsOf,
  writeReview,
} from "../../../backend/bundle/bundle.ts";
import { buildBundle } from "../../../backend/model/build.ts";
import { openSafetensors } from "../../../backend/model/weights/safetensors.ts";
import { WeightError } from "../../../backend/model/weights/weights.ts";
import { f32, type TestTensor, writeSafetensors } from "../../support/safetensors.ts";
import { TINY_ADAPTER, TINY_BASE, temporaryFolder } from "../../support/tiny-blip.ts";

describe("buildBundle", () => {
  test("the same inputs give the same bytes and the same revision", async () => {
    const folder = await temporaryFolder();
    const outs = [join(folder, "one"), join(folder, "two")];
    for (const out of outs)
      await buildBundle({ base: TINY_BASE, adapter: TINY_ADAPTER, dtypes: ["fp32"], out });
    for (const file of ["model.onnx", "bundle.json", "vocab.txt"]) {
      const [one, two] = await Promise.all(outs.map((out) => readFile(join(out, file))));
      expect(one?.equals(two as Buffer)).toBe(true);
    }
  });

  test("an adapter, a dtype or an image size each make another revision", async () => {
    const folder = await temporaryFolder();
    const revisions = await Promise.all(
      [{}, { adapter: TINY_ADAPTER }, { dtypes: ["fp16"] as const }, { imageSize: 64 }].map(
        async (change, i) => {
          const out = join(folder, String(i));
          return (await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out, ...change })).revision;
        },
      ),
    );
    expect(new Set(revisions).size).toBe(4);
  });

  test("writes what the engine needs to know", async () => {
    const out = join(await temporaryFolder(), "bundle");
    await buildBundle({ base: TINY_BASE, adapter: TINY_ADAPTER, dtypes: ["fp32"], out });
    const { manifest } = await openBundle(out);
    expect(manifest).toMatchObject({
      id: "tests/tiny-adapter",
      base: { id: "tests/tiny-blip" },
      dtype: "fp32",
      image: { size: 32, resampling: "bicubic" },
      tokens: { bos: 29, eos: 3, pad: 0, lower_case: true },
    });
  });

  test("the device or the caller chooses one of several precisions", async () => {
    const out = join(await temporaryFolder(), "bundle");
    const built = await buildBundle({ base: TINY_BASE, dtypes: ["fp32", "fp16", "int8"], out });
    const opened = async (options?: OpenOptions) => {
      const { manifest, graphPath } = await openBundle(out, options);
      return [manifest.dtype, basename(graphPath)];
    };
    expect(await opened()).toEqual(["int8", "model.int8.onnx"]);
    expect(await opened({ device: "cuda" })).toEqual(["fp16", "model.fp16.onnx"]);
    expect(await opened({ dtype: "fp32" })).toEqual(["fp32", "model.onnx"]);
    expect(new Set(variantsOf(built).map(({ revision }) => revision)).size).toBe(3);
    expect((await openBundle(out, { dtype: "fp16" })).manifest.revision).toBe(built.variants[0]?.revision);
  });

  test("the error for a precision that is missing, or that the device cannot run, says how to build it", async () => {
    const out = join(await temporaryFolder(), "bundle");
    await buildBundle({ base: TINY_BASE, dtypes: ["int8"], out });
    await expect(openBundle(out, { dtype: "fp16" })).rejects.toThrow(
      /holds int8, but fp16 is needed.*--dtype fp16/,
    );
    await expect(openBundle(out, { device: "cuda" })).rejects.toThrow(/fp16 or fp32 is needed on cuda/);
  });

  test("a model that is rebuilt in the same folder keeps its review threshold, another model has none", async () => {
    const out = join(await temporaryFolder(), "bundle");
    const review = {
      below: 0.4,
      measured_on: "captions.jsonl",
      pictures: 300,
      flagged_share: 0.3,
      quality_above: 0.45,
      weights: null,
    };
    await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out });
    await writeReview(out, review);
    expect((await buildBundle({ base: TINY_BASE, dtypes: ["fp32", "int8"], out })).review).toEqual(review);
    expect((await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], imageSize: 64, out })).review).toBeNull();
    await writeReview(out, review);
    const adapted = { base: TINY_BASE, adapter: TINY_ADAPTER, imageSize: 64 };
    expect((await buildBundle({ ...adapted, dtypes: ["fp32"], out })).review).toBeNull();
  });

  test.each([
    [
      NaN,
      "fp32",
      /post_layernorm\.weight' has values that are NaN or infinite: every caption would be empty/,
    ],
    [-Infinity, "int8", /has values that are NaN or infinite/],
    [1e6, "fp16", /post_layernorm\.weight' has values over 65,504.*Build with --dtype fp32/],
  ] as const)("refuses weights with %s in %s by their name", async (value, dtype, message) => {
    const folder = await temporaryFolder();
    await cp(TINY_BASE.folder, folder, { recursive: true });
    const source = await openSafetensors(join(folder, "model.safetensors"));
    const tensors: Record<string, TestTensor> = {};
    for (const [name, { shape }] of source.tensors) {
      const values = [...(await source.read(name))];
      if (name === "vision_model.post_layernorm.weight") values[3] = value;
      tensors[name] = f32(shape, values);
    }
    await writeSafetensors(join(folder, "model.safetensors"), tensors);
    const out = join(folder, "bundle");
    const building = buildBundle({ base: { id: "tests/odd", folder }, dtypes: [dtype], out });
    await expect(building).rejects.toThrow(message);
    await expect(building).rejects.toThrow(WeightError);
    expect(await readdir(folder)).not.toContain("bundle");
  });

  test("refuses an image size that the patches do not divide", async () => {
    const out = join(await temporaryFolder(), "bundle");
    await expect(buildBundle({ base: TINY_BASE, dtypes: ["fp32"], imageSize: 33, out })).rejects.toThrow(
      /patch size, 8/,
    );
    await expect(openBundle(out)).rejects.toThrow(BundleError);
  });
});
