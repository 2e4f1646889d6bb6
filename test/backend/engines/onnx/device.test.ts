import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { listSupportedBackends } from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { explainDeviceError, sessionOptions } from "../../../../backend/engines/onnx/device.ts";
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

  // In a process of its own, whose terminal is looked at: ONNX Runtime prints there which library is missing, and the error
  // that it throws does not say it.
  test.skipIf(hasCuda).each([
    ["engine.ts", "createOnnxEngine"],
    ["threaded.ts", "createThreadedOnnxEngine"],
  ])("%s says what to install, and ONNX Runtime which library it lacks", async (module, create) => {
    const { graphPath } = await tinyBundle();
    const url = (path: string) => JSON.stringify(new URL(`../../../../backend/${path}`, import.meta.url));
    const program = `
      import { openBundle } from ${url("bundle/bundle.ts")};
      import { DeviceError } from ${url("engines/onnx/device.ts")};
      import { ${create} } from ${url(`engines/onnx/${module}`)};
      const bundle = await openBundle(${JSON.stringify(dirname(graphPath))});
      const error = await ${create}({ bundle, device: "cuda" }).catch((thrown) => thrown);
      console.log(error instanceof DeviceError, String(error));
    `;
    const file = join(dirname(graphPath), "program.mjs");
    await writeFile(file, program);
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [file]);
    expect(stdout).toMatch(/^true .*DEVICE=cuda cannot be used here.*npm run cuda:install/s);
    expect(stderr).toMatch(/libonnxruntime_providers_\w+\.so/);
  });

  test("the error for a device without float16 names the other precision", () => {
    const explained = explainDeviceError(
      new Error("Program Transpose requires f16 but the device does not support it."),
      "webgpu",
    );
    expect(String(explained)).toMatch(/DTYPE=fp32/);
  });

  test("an error that is not the device's stays as it is", () => {
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
  });
});
