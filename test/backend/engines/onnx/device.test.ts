import { existsSync } from "node:fs";
import { listSupportedBackends } from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { DeviceError, explainDeviceError, sessionOptions } from "../../../../backend/engines/onnx/device.ts";
import { createOnnxEngine } from "../../../../backend/engines/onnx/engine.ts";
import { createThreadedOnnxEngine } from "../../../../backend/engines/onnx/threaded.ts";
import { readTinyReference, tinyBundle } from "../../../support/tiny-blip.ts";

const greedy = { maxNewTokens: 10, numBeams: 1, promptIds: [] };

describe("sessionOptions", () => {
  test("a GPU comes before the CPU, TensorRT before CUDA", () => {
    const names = (device: "cuda" | "tensorrt") =>
      sessionOptions({ device, deviceId: 1, threads: 2 }).executionProviders;
    expect(names("cuda")).toEqual([{ name: "cuda", deviceId: 1 }, "cpu"]);
    expect(names("tensorrt")).toEqual([
      { name: "tensorrt", deviceId: 1 },
      { name: "cuda", deviceId: 1 },
      "cpu",
    ]);
  });
});

describe("a device that cannot be used", () => {
  const hasCuda = existsSync(
    new URL(
      "../../../../node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so",
      import.meta.url,
    ),
  );

  test.skipIf(hasCuda)("says what to install, from the engine's thread too", async () => {
    const bundle = await tinyBundle();
    for (const create of [createOnnxEngine, createThreadedOnnxEngine]) {
      const error = await create({ bundle, device: "cuda" }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(DeviceError);
      expect(String(error)).toMatch(/DEVICE=cuda cannot be used here.*npm run cuda:install/s);
    }
  });

  test("float16 that a device lacks is answered with the other precision", () => {
    const explained = explainDeviceError(
      new Error("Program Transpose requires f16 but the device does not support it."),
      "webgpu",
    );
    expect(String(explained)).toMatch(/DTYPE=fp32/);
  });

  test("what is no matter of the device stays what it was", () => {
    const error = new Error("model.onnx failed: Protobuf parsing failed.");
    expect(explainDeviceError(error, "cuda")).toBe(error);
  });
});

// Any Vulkan will do, one in software too: VK_ICD_FILENAMES=…/vk_swiftshader_icd.json, as Chromium brings it.
describe.skipIf(!process.env.TEST_WEBGPU)("webgpu", () => {
  test("has a provider in the package", () => {
    expect(listSupportedBackends().map(({ name }) => name)).toContain("webgpu");
  });

  test("the tokens of transformers' generate, also where the batch is filled up", async () => {
    const { pixels, shape, token_ids } = readTinyReference().base;
    const engine = await createThreadedOnnxEngine({
      bundle: await tinyBundle(),
      device: "webgpu",
      maxBatchSize: 8,
    });
    for (const batch of [shape[0], 3]) {
      const rows = await engine.generate(pixels.slice(0, (pixels.length / shape[0]) * batch), batch, greedy);
      expect(rows.map((row) => row.tokenIds)).toEqual(
        token_ids.slice(0, batch).map((ids) => ids.slice(0, ids.indexOf(3) + 1 || undefined)),
      );
    }
    await engine.close();
  }, 120_000);
});
