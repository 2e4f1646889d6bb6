/** Runs a bundle in this process. The only file that imports ONNX Runtime. */

import "./no-telemetry.ts";
import { availableParallelism } from "node:os";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Bundle, Device } from "../../bundle/bundle.ts";
import { PORTS } from "../../bundle/ports.ts";
import type { DecodingOptions, Engine } from "../engine.ts";
import { type DecodedBatch, toSequences } from "../sequences.ts";
import { bucketsUpTo, fillBucket } from "./buckets.ts";
import { explainDeviceError, sessionOptions } from "./device.ts";

export interface OnnxEngineOptions {
  readonly bundle: Bundle;
  /** The CPU by default. */
  readonly device?: Device;
  /** Which of several GPUs; the first by default. */
  readonly deviceId?: number;
  /** Threads of one forward pass; by default as many as the machine has. */
  readonly threads?: number;
  /** Most rows of a call; on a GPU, batches are filled up to fixed sizes, of which this is the largest. */
  readonly maxBatchSize?: number;
}

/**
 * Loads the bundle's graph. Use one session for the whole process, because sessions leave memory behind when they
 * close.
 * @throws DeviceError with what to install
 */
export async function createOnnxEngine({
  bundle,
  device = "cpu",
  deviceId = 0,
  threads = availableParallelism(),
  maxBatchSize = 8,
}: OnnxEngineOptions): Promise<Engine> {
  const session = await InferenceSession.create(
    bundle.graphPath,
    sessionOptions({ device, deviceId, threads }),
  ).catch((error: unknown) => {
    throw explainDeviceError(error, device);
  });
  const { size } = bundle.manifest.image;
  const buckets = device === "cpu" ? undefined : bucketsUpTo(maxBatchSize);
  return {
    bundle,
    concurrency: 1,
    ...(buckets && { buckets }),
    async generate(pixels, batch, options) {
      if (batch < 1 || pixels.length !== batch * 3 * size * size) {
        throw new Error(
          `This is a bug: ${pixels.length} bytes of pixels for a batch of ${batch} at ${size} pixels.`,
        );
      }
      const filled = buckets ? fillBucket(pixels, batch, buckets) : { pixels, rows: batch };
      const results = await session.run({
        [PORTS.pixels]: new Tensor("uint8", filled.pixels, [filled.rows, 3, size, size]),
        ...decodingInputs(options),
      });
      const sequences = toSequences(decodedBatch(results), filled.rows, bundle.manifest.tokens.eos);
      return sequences.slice(0, batch);
    },
    close: () => session.release(),
  };
}

function decodingInputs({ maxNewTokens, numBeams, promptIds }: DecodingOptions): Record<string, Tensor> {
  return {
    [PORTS.maxNewTokens]: new Tensor("int64", BigInt64Array.of(BigInt(maxNewTokens)), [1]),
    [PORTS.numBeams]: new Tensor("int64", BigInt64Array.of(BigInt(numBeams)), [1]),
    [PORTS.promptIds]: new Tensor("int64", BigInt64Array.from(promptIds, BigInt), [promptIds.length]),
  };
}

/** The graph's outputs, checked. */
function decodedBatch(results: InferenceSession.OnnxValueMapType): DecodedBatch {
  const tokenIds = results[PORTS.tokenIds]?.data;
  const logProbabilities = results[PORTS.logProbabilities]?.data;
  if (!(tokenIds instanceof BigInt64Array) || !(logProbabilities instanceof Float32Array)) {
    throw new Error(
      "This is a bug: the graph's outputs are not int64 token ids and float32 log-probabilities.",
    );
  }
  const pictureScores = results[PORTS.pictureScores]?.data;
  return {
    tokenIds,
    logProbabilities,
    ...(pictureScores instanceof Float32Array && { pictureScores }),
  };
}
