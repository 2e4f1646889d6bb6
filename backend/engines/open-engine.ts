/** Opens the engine that the configuration names, and turns its failures into the server's own. */

import { type Failure, FailureError } from "../../shared/problem.ts";
import type { Bundle, Device } from "../bundle/bundle.ts";
import { type Engine, NO_SERVER } from "./engine.ts";
import { createCpuEngine } from "./onnx/cpu-engine.ts";
import { createCudaEngine } from "./onnx/cuda-engine.ts";
import { createThreadedOnnxEngine } from "./onnx/threaded.ts";
import { createTritonEngine } from "./triton/engine.ts";
import { TritonError } from "./triton/triton-error.ts";

/** The settings from backend/config.ts that opening an engine needs. */
export interface EngineConfig {
  readonly ENGINE: "onnx" | "triton";
  readonly DEVICE: Device;
  readonly DEVICE_ID: number;
  readonly THREADS: number;
  readonly MAX_BATCH_SIZE: number;
  readonly TRITON_ENDPOINTS?: readonly [string, ...string[]] | undefined;
  readonly TRITON_MODEL: string;
  readonly REQUEST_TIMEOUT_MS: number;
}

/** The device for which the bundle's precision is chosen; a Triton server is assumed to have a GPU. */
export function engineDevice({ ENGINE, DEVICE }: Pick<EngineConfig, "ENGINE" | "DEVICE">): Device {
  return ENGINE === "triton" ? "cuda" : DEVICE;
}

/** @throws DeviceError or TritonError with what to do */
export async function openEngine(config: EngineConfig, bundle: Bundle): Promise<Engine> {
  if (config.ENGINE === "triton" && config.TRITON_ENDPOINTS !== undefined) {
    return withFailures(
      await createTritonEngine({
        bundle,
        endpoints: config.TRITON_ENDPOINTS,
        model: config.TRITON_MODEL,
        timeoutMs: config.REQUEST_TIMEOUT_MS,
      }),
    );
  }
  const { DEVICE: device, DEVICE_ID: deviceId, THREADS: threads, MAX_BATCH_SIZE: maxBatchSize } = config;
  const options = { bundle, device, deviceId, threads, maxBatchSize };
  switch (device) {
    case "cpu":
      return createCpuEngine(options);
    case "cuda":
      return createCudaEngine(options);
    default:
      return createThreadedOnnxEngine(options);
  }
}

/** Tells the caller about failures that will pass or that another server may not have; all others are bugs. */
function withFailures(engine: Engine): Engine {
  return {
    ...engine,
    async generate(...call) {
      try {
        return await engine.generate(...call);
      } catch (error) {
        const failure = error instanceof TritonError ? failureOf(error) : undefined;
        throw failure ? new FailureError(failure, { cause: error }) : error;
      }
    },
  };
}

function failureOf({ failure, message: reason }: TritonError): Failure | undefined {
  switch (failure) {
    case "overloaded":
      return {
        code: "overloaded",
        detail: "The inference servers are at capacity.",
        retryAfterSeconds: 1,
        reason,
      };
    case "timeout":
      return { code: "deadline-exceeded", detail: "The inference servers did not answer in time.", reason };
    case "unreachable":
    case "not-loaded":
      return { ...NO_SERVER, reason };
    default:
      return undefined;
  }
}
