/**
 * The settings that ONNX Runtime needs for each device. Its Node binding passes only a device's number to CUDA and
 * TensorRT (`js/node/src/session_options_helper.cc`), so their other settings are ONNX Runtime's defaults. What
 * keeps their memory from creeping up is that they see only a few shapes: see buckets.ts.
 */

import type { InferenceSession } from "onnxruntime-node";
import type { Device } from "../../bundle/bundle.ts";

/** A device cannot be used; the message says what to install. */
export class DeviceError extends Error {
  override readonly name = "DeviceError";
}

export interface DeviceOptions {
  readonly device: Device;
  /** Which of several devices; for CUDA and TensorRT only. */
  readonly deviceId: number;
  /** Threads for whatever runs on the CPU. */
  readonly threads: number;
}

/**
 * How long a thread of a forward pass waits for its next piece of work before it sleeps. If it is longer, waiting
 * threads burn the cores that decode the next pictures; without it, each of the many small steps of decoding pays
 * for waking them.
 */
const SPIN_MICROSECONDS = "100";

/** Options of `InferenceSession.create` for a device. */
export function sessionOptions({
  device,
  deviceId,
  threads,
}: DeviceOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: providers(device, deviceId),
    intraOpNumThreads: threads,
    graphOptimizationLevel: "all",
    // Sets memory aside for each shape of batch, in addition to the arena that serves all of them; no faster on the CPU.
    ...(device === "cpu" && { enableMemPattern: false }),
    logSeverityLevel: 3,
    extra: {
      session: {
        intra_op: { spin_duration_us: SPIN_MICROSECONDS },
        // A device's own allocator would round every weight up to a power of two in its arena.
        ...(device === "cpu" ? {} : { use_device_allocator_for_initializers: "1" }),
      },
    },
  };
}

/** Best first: operators that one provider cannot run fall to the next. */
function providers(device: Device, deviceId: number): InferenceSession.ExecutionProviderConfig[] {
  switch (device) {
    case "cpu":
      return ["cpu"];
    case "cuda":
      return [{ name: "cuda", deviceId }, "cpu"];
    case "tensorrt":
      return [{ name: "tensorrt", deviceId }, { name: "cuda", deviceId }, "cpu"];
    case "webgpu":
      return ["webgpu", "cpu"];
  }
}

const INSTALL: Readonly<Record<Exclude<Device, "cpu">, string>> = {
  cuda:
    "It needs an NVIDIA driver, CUDA 13 and cuDNN 9 on the library path, and ONNX Runtime's CUDA libraries: " +
    "'npm run cuda:install'.",
  tensorrt:
    "It needs what DEVICE=cuda needs (ONNX Runtime's libraries come with the same command, 'npm run cuda:install') " +
    "and TensorRT 10 on the library path.",
  webgpu:
    "It needs a Vulkan driver and its loader (Debian: libvulkan1 and the GPU's driver); 'vulkaninfo --summary' lists what there is.",
};

/** @returns what to do if no session could be made on `device`, or `error` itself if the device is not the reason */
export function explainDeviceError(error: unknown, device: Device): unknown {
  if (device === "cpu" || !(error instanceof Error)) return error;
  const [reason] = error.message.split("\n");
  if (/ExecutionProvider_|shared library|adapter|CUDA|cuDNN|CUDNN|driver/.test(error.message)) {
    return new DeviceError(`DEVICE=${device} cannot be used here. ${INSTALL[device]}\n  ${reason}`, {
      cause: error,
    });
  }
  if (/requires f16/.test(error.message)) {
    return new DeviceError(
      `This ${device} device does not compute in float16; build the bundle with '--dtype fp32', or set DTYPE=fp32.\n  ${reason}`,
      { cause: error },
    );
  }
  return error;
}
