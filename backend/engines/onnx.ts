/** Runs a bundle in this process. The only file that imports ONNX Runtime. */

import { availableParallelism } from "node:os";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Bundle } from "../model/bundle.ts";
import { PORTS } from "../model/caption-graph.ts";
import type { DecodingOptions, Engine } from "./engine.ts";
import { type DecodedBatch, toSequences } from "./sequences.ts";

export interface OnnxEngineOptions {
  readonly bundle: Bundle;
  /** Threads of one forward pass; as many as the machine has where absent. */
  readonly threads?: number;
}

/** Loads the bundle's graph. One session for the process: sessions that come and go leave memory behind. */
export async function createOnnxEngine({ bundle, threads }: OnnxEngineOptions): Promise<Engine> {
  const session = await InferenceSession.create(bundle.graphPath, {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads ?? availableParallelism(),
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
  });
  const { size } = bundle.manifest.image;
  return {
    bundle,
    concurrency: 1,
    async generate(pixels, batch, options) {
      const shape = [batch, 3, size, size];
      if (batch < 1 || pixels.length !== batch * 3 * size * size) {
        throw new Error(`This is a bug: ${pixels.length} bytes of pixels for a batch of [${shape}].`);
      }
      const results = await session.run({
        [PORTS.pixels]: new Tensor("uint8", pixels, shape),
        ...decodingInputs(options),
      });
      return toSequences(decodedBatch(results), batch, bundle.manifest.tokens.eos);
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
  return { tokenIds, logProbabilities };
}
