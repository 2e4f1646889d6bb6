/**
 * A server with the gRPC service of kserve.proto that runs a model repository as `writeTritonRepository` wrote it, on
 * onnxruntime-node. It can be told to hold, to fail and to answer rubbish.
 *
 * It is no Triton: it reads no config.pbtxt, warms nothing up, never batches requests together, has no queue and runs
 * one request at a time; its error messages are Triton's as seen in version 2.51. test/triton holds the same engine
 * against a real server.
 */

import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { InferenceSession, Tensor } from "onnxruntime-node";
import * as z from "zod";
import { MAX_BATCHED_ROWS } from "../../backend/bundle/triton-models.ts";
import { KSERVE_SERVICE } from "../../backend/engines/triton/kserve-service.ts";

const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;
const UNBATCHED = /_unbatched$/;

const ModelRequest = z.object({ name: z.string(), version: z.string() });
const InferRequest = z.object({
  modelName: z.string(),
  modelVersion: z.string(),
  inputs: z.array(
    z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.coerce.number().int()) }),
  ),
  outputs: z.array(z.object({ name: z.string() })),
  rawInputContents: z.array(z.instanceof(Buffer)),
});
type InferRequest = z.infer<typeof InferRequest>;

/** A ModelInferResponse; changed at will by `TritonStandIn.change`. */
export interface InferAnswer {
  modelName: string;
  modelVersion: string;
  outputs: { name: string; datatype: string; shape: number[] }[];
  rawOutputContents: Buffer[];
}

export interface TritonStandIn {
  /** HOST:PORT */
  readonly endpoint: string;
  /** Every ModelInfer so far: the model, and the rows asked for. */
  readonly calls: { readonly model: string; readonly rows: number }[];
  /** Calls of ModelInfer that were cancelled while held. */
  readonly cancelled: number;
  /** Lets coming calls of ModelInfer wait until `release`. */
  hold(): void;
  release(): void;
  /** Resolves once `count` calls of ModelInfer have come. */
  called(count: number): Promise<void>;
  /** What coming calls of ModelInfer are answered with instead. */
  failWith: { readonly code: status; readonly details: string } | undefined;
  /** Done to coming answers of ModelInfer. */
  change: (answer: InferAnswer) => void;
  /** What ServerReady says. */
  ready: boolean;
  /** Breaks every connection, as a killed process does. Once more does nothing. */
  kill(): Promise<void>;
}

/** Serves `repository`, on a free port where none is named. */
export async function startTritonStandIn(repository: string, port = 0): Promise<TritonStandIn> {
  const models = await loadModels(repository);
  const server = new Server({ "grpc.max_receive_message_length": MAX_MESSAGE_BYTES });
  let gate = Promise.withResolvers<void>();
  gate.resolve();
  let cancelled = 0;
  const arrivals = new EventTarget();

  function find(name: string, version: string): LoadedModel {
    const model = models.find((one) => one.name === name && (version === "" || one.version === version));
    if (model !== undefined) return model;
    const asked = models.some((one) => one.name === name) ? ` version ${version}` : "";
    throw failure(status.NOT_FOUND, `Request for unknown model: '${name}'${asked} is not found`);
  }

  async function infer(call: ServerUnaryCall<object, object>): Promise<object> {
    const request = InferRequest.parse(call.request);
    const model = find(request.modelName, request.modelVersion);
    standIn.calls.push({ model: model.name, rows: request.inputs[0]?.shape[0] ?? 0 });
    arrivals.dispatchEvent(new Event("call"));
    call.once("cancelled", () => {
      cancelled += 1;
    });
    await gate.promise;
    if (standIn.failWith) throw failure(standIn.failWith.code, standIn.failWith.details);
    const answer = await runModel(model, request);
    standIn.change(answer);
    return answer;
  }

  const methods: Record<keyof typeof KSERVE_SERVICE, (call: ServerUnaryCall<object, object>) => unknown> = {
    ServerLive: () => ({ live: true }),
    ServerReady: () => ({ ready: standIn.ready }),
    ModelReady: ({ request }) => {
      const { name, version } = ModelRequest.parse(request);
      return { ready: models.some((one) => one.name === name && one.version === version) };
    },
    ModelMetadata: ({ request }) => {
      const { name, version } = ModelRequest.parse(request);
      return describe(find(name, version));
    },
    ModelInfer: infer,
  };
  server.addService(KSERVE_SERVICE, handlers(methods));
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, taken) =>
      error ? reject(error) : resolve(taken),
    );
  });

  const standIn: TritonStandIn = {
    endpoint: `127.0.0.1:${bound}`,
    calls: [],
    get cancelled() {
      return cancelled;
    },
    hold() {
      gate = Promise.withResolvers();
    },
    release: () => gate.resolve(),
    async called(count) {
      while (standIn.calls.length < count) await once(arrivals, "call");
    },
    failWith: undefined,
    change: () => {},
    ready: true,
    async kill() {
      gate.resolve();
      server.forceShutdown();
      await Promise.all(models.splice(0).map(({ session }) => session.release()));
    },
  };
  return standIn;
}

interface LoadedModel {
  readonly name: string;
  readonly version: string;
  readonly session: InferenceSession;
}

async function loadModels(repository: string): Promise<LoadedModel[]> {
  const models: LoadedModel[] = [];
  for (const name of await readdir(repository)) {
    for (const version of (await readdir(join(repository, name))).filter((folder) => /^\d+$/.test(folder))) {
      const session = await InferenceSession.create(join(repository, name, version, "model.onnx"), {
        intraOpNumThreads: 1,
        logSeverityLevel: 3,
      });
      models.push({ name, version, session });
    }
  }
  return models;
}

const DATATYPES: Readonly<Record<string, string>> = { uint8: "UINT8", int64: "INT64", float32: "FP32" };

function ports(metadata: readonly InferenceSession.ValueMetadata[]) {
  return metadata.map((port) => {
    if (!port.isTensor) throw new Error(`${port.name} is no tensor.`);
    const shape = port.shape.map((size) => (typeof size === "number" ? size : -1));
    return { name: port.name, datatype: DATATYPES[port.type] ?? port.type, shape };
  });
}

function describe({ name, version, session }: LoadedModel): object {
  return {
    name,
    versions: [version],
    platform: "onnxruntime_onnx",
    inputs: ports(session.inputMetadata),
    outputs: ports(session.outputMetadata),
  };
}

async function runModel(
  { name, version, session }: LoadedModel,
  request: InferRequest,
): Promise<InferAnswer> {
  const expected = ports(session.inputMetadata);
  const feeds: Record<string, Tensor> = {};
  request.inputs.forEach(({ name: input, datatype, shape }, i) => {
    const port = expected.find((one) => one.name === input);
    const fits = port?.shape.every((size, axis) => size === -1 || size === shape[axis]);
    if (port?.datatype !== datatype || port.shape.length !== shape.length || !fits) {
      throw failure(
        status.INVALID_ARGUMENT,
        `unexpected ${datatype} [${shape}] for input '${input}' for model '${name}'`,
      );
    }
    const bytes = Uint8Array.from(request.rawInputContents[i] ?? []);
    feeds[input] =
      datatype === "UINT8"
        ? new Tensor("uint8", bytes, shape)
        : new Tensor("int64", new BigInt64Array(bytes.buffer), shape);
  });
  if (!UNBATCHED.test(name) && (request.inputs[0]?.shape[0] ?? 0) > MAX_BATCHED_ROWS) {
    throw failure(status.INVALID_ARGUMENT, `inference request batch-size must be <= ${MAX_BATCHED_ROWS}`);
  }
  const results = await session.run(feeds);
  const outputs = request.outputs.map((output) => {
    const { type, dims, data } = results[output.name] as Tensor;
    const { buffer, byteOffset, byteLength } = data as BigInt64Array | Float32Array;
    return {
      tensor: { name: output.name, datatype: DATATYPES[type] ?? type, shape: [...dims] },
      bytes: Buffer.from(buffer, byteOffset, byteLength),
    };
  });
  return {
    modelName: name,
    modelVersion: version,
    outputs: outputs.map(({ tensor }) => tensor),
    rawOutputContents: outputs.map(({ bytes }) => bytes),
  };
}

function failure(code: status, details: string): Partial<ServiceError> {
  return { code, details };
}

function handlers(
  methods: Readonly<Record<string, (call: ServerUnaryCall<object, object>) => unknown>>,
): UntypedServiceImplementation {
  return Object.fromEntries(
    Object.entries(methods).map(([name, answer]) => {
      const handler: handleUnaryCall<object, object> = async (call, callback) => {
        try {
          callback(null, (await answer(call)) as object);
        } catch (error) {
          callback(error as Partial<ServiceError>);
        }
      };
      return [name, handler];
    }),
  );
}
