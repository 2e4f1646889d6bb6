import { existsSync } from "node:fs";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Bundle, openBundle } from "../../../../backend/bundle/bundle.ts";
import { modelVersion } from "../../../../backend/bundle/triton-models.ts";
import { createOnnxEngine } from "../../../../backend/engines/onnx/engine.ts";
import { buildBundle } from "../../../../backend/model/build.ts";
import { writeBatchableGraph } from "../../../../backend/model/triton/batchable-graph.ts";
import { writeTritonRepository } from "../../../../backend/model/triton/repository.ts";
import { readTinyReference, TINY_BASE, temporaryFolder } from "../../../support/tiny-blip.ts";

async function tinyBundle(): Promise<Bundle> {
  const out = join(await temporaryFolder(), "bundle");
  await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out });
  return openBundle(out);
}

async function writtenRepository(device: "gpu" | "cpu" = "gpu") {
  const bundle = await tinyBundle();
  const folder = join(await temporaryFolder(), "repository");
  await writeTritonRepository({ bundle, folder, model: "captioner", device });
  const version = modelVersion(bundle.manifest.revision);
  const config = (model: string) => readFile(join(folder, model, "config.pbtxt"), "utf8");
  return { bundle, folder, version, config };
}

describe("writeTritonRepository", () => {
  test("writes two models under the revision's version", async () => {
    const { bundle, folder, version } = await writtenRepository();
    expect((await readdir(folder)).sort()).toEqual(["captioner", "captioner_unbatched"]);
    expect(BigInt(version)).toBe(BigInt(`0x${bundle.manifest.revision.slice(0, 15)}`));
    expect(await readdir(join(folder, "captioner", version))).toEqual(["model.onnx"]);
    const linked = await stat(join(folder, "captioner_unbatched", version, "model.onnx"));
    expect(linked.ino).toBe((await stat(bundle.graphPath)).ino);
  });

  test("puts weights that lie beside the graph beside both models", async () => {
    const bundle = await tinyBundle();
    await writeFile(`${bundle.graphPath}.data`, "weights");
    const folder = await temporaryFolder();
    await writeTritonRepository({ bundle, folder, model: "captioner", device: "gpu" });
    const version = modelVersion(bundle.manifest.revision);
    for (const model of ["captioner", "captioner_unbatched"]) {
      expect(await readFile(join(folder, model, version, "model.onnx.data"), "utf8")).toBe("weights");
    }
  });

  test("writes again into the same folder", async () => {
    const { bundle, folder, version } = await writtenRepository();
    await writeTritonRepository({ bundle, folder, model: "captioner", device: "gpu" });
    expect(existsSync(join(folder, "captioner", version, "model.onnx"))).toBe(true);
    expect((await stat(bundle.graphPath)).size).toBeGreaterThan(0);
  });

  test("a model's name with a line break stays within its quotes", async () => {
    const { manifest, ...files } = await tinyBundle();
    const folder = await temporaryFolder();
    const bundle = { ...files, manifest: { ...manifest, id: 'odd "name"\nof: "two lines"' } };
    await writeTritonRepository({ bundle, folder, model: "captioner", device: "gpu" });
    const config = await readFile(join(folder, "captioner", "config.pbtxt"), "utf8");
    expect(config).toContain(String.raw`string_value: "odd \"name\"\nof: \"two lines\""`);
    expect(config).not.toMatch(/^of:/m);
  });

  test("refuses a folder that holds a revision of another picture size, and leaves it as it is", async () => {
    const { bundle, folder, version, config } = await writtenRepository();
    const before = await config("captioner");
    const out = join(await temporaryFolder(), "larger");
    await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], imageSize: 2 * bundle.manifest.image.size, out });
    const larger = { bundle: await openBundle(out), folder, model: "captioner", device: "gpu" } as const;
    await expect(writeTritonRepository(larger)).rejects.toThrow(`holds version ${version} with another`);
    expect(await config("captioner")).toBe(before);
    expect(await readdir(join(folder, "captioner"))).toEqual([version, "config.pbtxt", "warmup"]);
    for (const model of ["captioner", "captioner_unbatched"])
      await rm(join(folder, model, version), { recursive: true });
    await writeTritonRepository(larger);
    expect(await config("captioner")).not.toBe(before);
  });

  test("the batched model's config: ports without their batch, dynamic batching, warm-up, no response cache", async () => {
    const { bundle, config } = await writtenRepository();
    const { size } = bundle.manifest.image;
    const text = await config("captioner");
    expect(text).toContain('backend: "onnxruntime"\nmax_batch_size: 32\n');
    expect(text).toContain(`{ name: "pixels", data_type: TYPE_UINT8, dims: [ 3, ${size}, ${size} ] }`);
    expect(text).toContain('{ name: "row_max_new_tokens", data_type: TYPE_INT64, dims: [ 1 ] }');
    expect(text).toContain('{ name: "token_ids", data_type: TYPE_INT64, dims: [ -1 ] }');
    expect(text).toContain("dynamic_batching {");
    expect(text).toContain("batch_size: 1\n");
    expect(text).toContain("batch_size: 32\n");
    expect(text).toContain("response_cache { enable: false }");
    expect(text).toContain("instance_group [ { count: 1, kind: KIND_GPU } ]");
    expect(text).toContain(`value: { string_value: "${bundle.manifest.revision}" }`);
  });

  test("the other model's config: the graph's own ports, and no batching by Triton", async () => {
    const { bundle, folder, config } = await writtenRepository("cpu");
    const { size } = bundle.manifest.image;
    const text = await config("captioner_unbatched");
    expect(text).toContain("max_batch_size: 0\n");
    expect(text).toContain(`{ name: "pixels", data_type: TYPE_UINT8, dims: [ -1, 3, ${size}, ${size} ] }`);
    expect(text).toContain('{ name: "prompt_ids", data_type: TYPE_INT64, dims: [ -1 ] }');
    expect(text).not.toContain("dynamic_batching");
    expect(text).toContain("kind: KIND_CPU");
    expect(await readFile(join(folder, "captioner_unbatched", "warmup", "num_beams"))).toEqual(
      Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]),
    );
  });
});

describe("writeBatchableGraph", () => {
  const { base } = readTinyReference();

  async function batchableSession() {
    const bundle = await tinyBundle();
    const path = join(await temporaryFolder(), "batchable.onnx");
    await writeBatchableGraph(bundle.graphPath, path);
    const session = await InferenceSession.create(path, { logSeverityLevel: 3 });
    onTestFinished(() => session.release());
    return { bundle, session };
  }

  test("has inputs with a batch dimension only", async () => {
    const { session } = await batchableSession();
    const inputs = Object.fromEntries(
      session.inputMetadata.map((port) => [port.name, port.isTensor ? port.shape : []]),
    );
    const [, , height, width] = base.shape;
    expect(inputs).toEqual({ pixels: ["batch", 3, height, width], row_max_new_tokens: ["batch", 1] });
  });

  test("generates as many tokens as the longest row asks for, those of greedy decoding", async () => {
    const { bundle, session } = await batchableSession();
    const [rows] = base.shape;
    const lengths = BigInt64Array.from({ length: rows }, (_, row) => BigInt(10 - row));
    const results = await session.run({
      pixels: new Tensor("uint8", base.pixels, base.shape),
      row_max_new_tokens: new Tensor("int64", lengths, [rows, 1]),
    });
    const engine = await createOnnxEngine({ bundle, threads: 1 });
    const expected = await engine.generate(base.pixels, rows, {
      maxNewTokens: 10,
      numBeams: 1,
      promptIds: [],
    });
    await engine.close();
    const ids = results.token_ids?.data as BigInt64Array;
    const steps = ids.length / rows;
    expected.forEach(({ tokenIds }, row) => {
      expect(Array.from(ids.subarray(row * steps, row * steps + tokenIds.length), Number)).toEqual(tokenIds);
    });
  });

  test("refuses a file that is no caption graph", async () => {
    const { graphPath } = await tinyBundle();
    const folder = await temporaryFolder();
    const [empty, batchable] = [join(folder, "empty"), join(folder, "twice")];
    await writeFile(empty, "");
    await expect(writeBatchableGraph(empty, batchable)).rejects.toThrow("is not an ONNX model");
    await writeBatchableGraph(graphPath, batchable);
    await expect(writeBatchableGraph(batchable, join(folder, "again"))).rejects.toThrow(
      "not a caption graph",
    );
  });
});
