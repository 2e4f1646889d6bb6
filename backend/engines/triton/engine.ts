/** Runs a bundle on NVIDIA Triton Inference Servers, over KServe v2 gRPC. docs/triton.md has the design. */

import type { Bundle } from "../../bundle/bundle.ts";
import { PORTS } from "../../bundle/ports.ts";
import {
  MAX_BATCHED_ROWS,
  modelVersion,
  ROW_MAX_NEW_TOKENS,
  servedModels,
} from "../../bundle/triton-models.ts";
import type { DecodingOptions, Engine } from "../engine.ts";
import { type DecodedBatch, toSequences } from "../sequences.ts";
import { checkModels } from "./check-models.ts";
import { createEndpoints } from "./endpoints.ts";
import {
  createKserveClient,
  type InferResponse,
  type KserveClient,
  type RawTensor,
} from "./kserve-client.ts";
import { TritonError } from "./triton-error.ts";

export interface TritonEngineOptions {
  readonly bundle: Bundle;
  /** HOST:PORT of each server's gRPC. It has no TLS, so use it only inside a private network. */
  readonly endpoints: readonly [string, ...string[]];
  /** The name that the model repository was written with. */
  readonly model: string;
  /** Longest time a call may take, including a second server. */
  readonly timeoutMs: number;
  /** Most calls at once over all endpoints; by default two for each. */
  readonly concurrency?: number;
}

/** One runs while the next is being sent. */
const CALLS_PER_ENDPOINT = 2;
/** Shorter than a Kubernetes probe, which waits for a second. */
const REACHABLE_TIMEOUT_MS = 500;

/**
 * Creates the engine after checking every server. Unreachable servers are tolerated if at least one can be reached:
 * every call names the bundle's revision, so a server that comes later with another revision cannot answer.
 * @throws TritonError with what to do
 */
export async function createTritonEngine({
  bundle,
  endpoints,
  model,
  timeoutMs,
  concurrency = CALLS_PER_ENDPOINT * endpoints.length,
}: TritonEngineOptions): Promise<Engine> {
  const { image, picture_head, revision, tokens } = bundle.manifest;
  const { batched, unbatched } = servedModels(model, bundle.manifest);
  const version = modelVersion(revision);
  const clients = endpoints.map(createKserveClient);
  const close = () => {
    for (const client of clients) client.close();
  };
  try {
    const wanted = { model, manifest: bundle.manifest };
    await checkAll(clients, (client) => checkModels(client, wanted, { deadline: Date.now() + timeoutMs }));
  } catch (error) {
    close();
    throw error;
  }
  const servers = createEndpoints(clients);

  return {
    bundle,
    concurrency,
    async generate(pixels, batch, options, signal) {
      const shape = [batch, 3, image.size, image.size];
      if (batch < 1 || pixels.length !== batch * 3 * image.size * image.size) {
        throw new Error(`This is a bug: ${pixels.length} bytes of pixels for a batch of [${shape}].`);
      }
      const picture: RawTensor = { name: PORTS.pixels, datatype: "UINT8", shape, bytes: pixels };
      const request = {
        version,
        outputs: batched.outputs.map(({ name }) => name),
        ...(mayShare(batch, options)
          ? { model: batched.name, inputs: [picture, rowLengths(batch, options)] }
          : { model: unbatched.name, inputs: [picture, ...decodingInputs(options)] }),
      };
      const deadline = Date.now() + timeoutMs;
      return servers.run(async (client) => {
        const response = await client.infer(request, { deadline, signal });
        const decoded = decodedBatch(client.endpoint, response, { ...request, batch, picture_head });
        return toSequences(decoded, batch, tokens.eos).map(({ tokenIds, logProbabilities, ...row }) => ({
          ...row,
          // Another request's row in the same forward pass may have asked for more tokens.
          tokenIds: tokenIds.slice(0, options.maxNewTokens),
          logProbabilities: logProbabilities.slice(0, options.maxNewTokens),
        }));
      });
    },
    async isReachable() {
      const deadline = Date.now() + REACHABLE_TIMEOUT_MS;
      const answers = await Promise.all(
        clients.map((client) => client.modelReady(batched.name, version, { deadline }).catch(() => false)),
      );
      return answers.includes(true);
    },
    close: async () => close(),
  };
}

/** Rejects if any server that answers is wrong, or with the first failure if none answers. */
async function checkAll(
  clients: readonly KserveClient[],
  check: (client: KserveClient) => Promise<void>,
): Promise<void> {
  const failures = (await Promise.allSettled(clients.map(check))).flatMap((result) =>
    result.status === "rejected" ? [result.reason] : [],
  );
  const answered = failures.find((error) => !isAbsent(error));
  if (answered !== undefined) throw answered;
  if (failures.length === clients.length) throw failures[0];
}

function isAbsent(error: unknown): boolean {
  return error instanceof TritonError && (error.failure === "unreachable" || error.failure === "timeout");
}

/** Whether Triton may add rows of other requests: only for greedy decoding, where nothing but the lengths can differ. */
function mayShare(batch: number, { numBeams, promptIds }: DecodingOptions): boolean {
  return numBeams === 1 && promptIds.length === 0 && batch <= MAX_BATCHED_ROWS;
}

function rowLengths(batch: number, { maxNewTokens }: DecodingOptions): RawTensor {
  return int64(ROW_MAX_NEW_TOKENS, Array<number>(batch).fill(maxNewTokens), [batch, 1]);
}

function decodingInputs({ maxNewTokens, numBeams, promptIds }: DecodingOptions): RawTensor[] {
  return [
    int64(PORTS.maxNewTokens, [maxNewTokens], [1]),
    int64(PORTS.numBeams, [numBeams], [1]),
    int64(PORTS.promptIds, promptIds, [promptIds.length]),
  ];
}

/** Little-endian, as the protocol demands and as every machine that we run on is. */
function int64(name: string, values: readonly number[], shape: readonly number[]): RawTensor {
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return { name, datatype: "INT64", shape, bytes };
}

/** The answer's tensors. @throws TritonError `bad-answer` if it does not fit what was asked */
function decodedBatch(
  endpoint: string,
  response: InferResponse,
  asked: {
    readonly model: string;
    readonly version: string;
    readonly batch: number;
    readonly picture_head: boolean;
  },
): DecodedBatch {
  const wrong = (message: string) => new TritonError("bad-answer", endpoint, message);
  if (response.model !== asked.model || response.version !== asked.version) {
    throw wrong(
      `'${response.model}' version ${response.version} answered for '${asked.model}' version ${asked.version}.`,
    );
  }
  function output(name: string, datatype: string, bytesPerElement: number): ArrayBuffer {
    const found = response.outputs.find((tensor) => tensor.name === name);
    if (found === undefined) throw wrong(`output '${name}' is missing.`);
    const [rows, steps = -1, ...more] = found.shape;
    const isRows = rows === asked.batch && steps >= 0 && more.length === 0;
    if (found.datatype !== datatype || !isRows || found.bytes.length !== rows * steps * bytesPerElement) {
      throw wrong(
        `output '${name}' is ${found.datatype} [${found.shape.join(", ")}] in ${found.bytes.length} bytes, expected ${datatype} [${asked.batch}, steps].`,
      );
    }
    // Copied, because the bytes may lie anywhere in the message and typed arrays need alignment.
    return Uint8Array.from(found.bytes).buffer;
  }
  const tokenIds = new BigInt64Array(output(PORTS.tokenIds, "INT64", 8));
  const logProbabilities = new Float32Array(output(PORTS.logProbabilities, "FP32", 4));
  if (tokenIds.length !== logProbabilities.length) {
    throw wrong(`${tokenIds.length} token ids came with ${logProbabilities.length} log-probabilities.`);
  }
  if (!asked.picture_head) return { tokenIds, logProbabilities };
  const pictureScores = new Float32Array(output(PORTS.pictureScores, "FP32", 4));
  if (pictureScores.length !== asked.batch)
    throw wrong(`${pictureScores.length} picture scores came for ${asked.batch}.`);
  return { tokenIds, logProbabilities, pictureScores };
}
