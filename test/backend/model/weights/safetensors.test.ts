import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  openSafetensors,
  openWeightFolder,
  weightFolderHash,
} from "../../../../backend/model/weights/safetensors.ts";
import { f32, writeSafetensors } from "../../../support/safetensors.ts";
import { temporaryFolder } from "../../../support/tiny-blip.ts";

describe("openSafetensors", () => {
  test("reads F32, F16 and BF16 as float32", async () => {
    const path = join(await temporaryFolder(), "a.safetensors");
    const values = [1, -2.5, 0.15625, 65280];
    const bfloat16 = Uint16Array.from(
      new Uint32Array(Float32Array.from(values).buffer),
      (bits) => bits >>> 16,
    );
    await writeSafetensors(path, {
      single: f32([2, 2], values),
      half: { dtype: "F16", shape: [4], bytes: new Uint8Array(Float16Array.from(values).buffer) },
      brain: { dtype: "BF16", shape: [4], bytes: new Uint8Array(bfloat16.buffer) },
    });
    const weights = await openSafetensors(path);
    expect(weights.tensors.get("single")?.shape).toEqual([2, 2]);
    for (const name of ["single", "half", "brain"]) {
      expect([...(await weights.read(name))]).toEqual(values);
    }
  });

  test("refuses a file that is cut short, naming the tensor", async () => {
    const path = join(await temporaryFolder(), "a.safetensors");
    await writeSafetensors(path, { first: f32([2], [1, 2]), last: f32([2], [3, 4]) });
    await truncate(path, (await import("node:fs")).statSync(path).size - 3);
    await expect(openSafetensors(path)).rejects.toThrow(/cut short: tensor 'last'/);
  });

  test("refuses what is not safetensors", async () => {
    const path = join(await temporaryFolder(), "a.safetensors");
    for (const [content, message] of [
      ["<!doctype html><title>not found</title>", /not a safetensors file/],
      ["", /it has 0 bytes/],
      ["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", /Git LFS pointer.*git lfs pull/],
    ] as const) {
      await writeFile(path, content);
      await expect(openSafetensors(path)).rejects.toThrow(message);
    }
  });

  test("refuses a tensor type it cannot read, by name", async () => {
    const path = join(await temporaryFolder(), "a.safetensors");
    await writeSafetensors(path, { ids: { dtype: "I64", shape: [1], bytes: new Uint8Array(8) } });
    await expect((await openSafetensors(path)).read("ids")).rejects.toThrow(/'ids'.*I64/);
  });
});

describe("openWeightFolder", () => {
  test("joins shards by their index", async () => {
    const folder = await temporaryFolder();
    await writeSafetensors(join(folder, "model-1.safetensors"), { a: f32([1], [1]) });
    await writeSafetensors(join(folder, "model-2.safetensors"), { b: f32([1], [2]) });
    const weight_map = { a: "model-1.safetensors", b: "model-2.safetensors" };
    await writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
    const weights = await openWeightFolder(folder, "model");
    expect([...weights.tensors.keys()]).toEqual(["a", "b"]);
    expect([...(await weights.read("b"))]).toEqual([2]);
    expect(await weightFolderHash(folder, ["model"])).toMatch(/^[0-9a-f]{64}$/);
  });

  test("names the tensor that the index promises and no shard holds", async () => {
    const folder = await temporaryFolder();
    await writeSafetensors(join(folder, "model-1.safetensors"), { a: f32([1], [1]) });
    const weight_map = { a: "model-1.safetensors", lost: "model-1.safetensors" };
    await writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
    await expect(openWeightFolder(folder, "model")).rejects.toThrow(/'lost'/);
  });

  test.each([
    ["model", "pytorch_model.bin"],
    ["model", "pytorch_model-00001-of-00002.bin"],
    ["adapter_model", "adapter_model.bin"],
  ])("refuses pickled weights and says what to do: %s in %s", async (stem, name) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, name), "");
    await expect(openWeightFolder(folder, stem)).rejects.toThrow(/pickled .*safe_serialization/);
  });
});
