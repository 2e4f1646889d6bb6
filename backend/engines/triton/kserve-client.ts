/**
 * One inference server over gRPC: health, metadata and inference, with each answer checked. Chooses no server,
 * retries nothing.
 */

import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import * as z from "zod";
import { KSERVE_SERVICE, type KserveMethod } from "./kserve-service.ts";
import { TritonError } from "./triton-error.ts";

/** Large enough for 256 pictures of 512 x 512 pixels and for any of our answers. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;
/**
 * A connection that died silently is noticed within 15 s while a call waits. It cannot be sooner: by default Triton
 * hangs up on a client that pings more than twice without getting data, and a call may take 30 s.
 */
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
/** A server that has come back is found again within this time. */
const FIRST_RECONNECT_MS = 200;
const LAST_RECONNECT_MS = 5_000;

export interface CallOptions {
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly signal?: AbortSignal | undefined;
}

/** A tensor with its bytes, little-endian and row-major. */
export interface RawTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface InferRequest {
  readonly model: string;
  readonly version: string;
  readonly inputs: readonly RawTensor[];
  readonly outputs: readonly string[];
}

const Ready = z.object({ ready: z.boolean() });

const Tensor = z.object({
  name: z.string(),
  datatype: z.string(),
  shape: z.array(z.coerce.number().int()),
});

const ModelMetadata = z.object({
  versions: z.array(z.string()),
  inputs: z.array(Tensor),
  outputs: z.array(Tensor),
});
export type ModelMetadata = z.infer<typeof ModelMetadata>;

const InferResponse = z
  .object({
    modelName: z.string(),
    modelVersion: z.string(),
    outputs: z.array(Tensor),
    rawOutputContents: z.array(z.instanceof(Uint8Array)),
  })
  .refine(({ outputs, rawOutputContents }) => outputs.length === rawOutputContents.length, {
    error: "expected as many raw contents as outputs",
  })
  .transform(({ modelName, modelVersion, outputs, rawOutputContents }) => ({
    model: modelName,
    version: modelVersion,
    outputs: outputs.map((tensor, i) => ({ ...tensor, bytes: rawOutputContents[i] ?? new Uint8Array() })),
  }));
export type InferResponse = z.infer<typeof InferResponse>;

/** Every call rejects with TritonError, or with the signal's reason once the signal has aborted. */
export interface KserveClient {
  readonly endpoint: string;
  serverReady(options: CallOptions): Promise<boolean>;
  /** Also false if the server does not know the model. */
  modelReady(model: string, version: string, options: CallOptions): Promise<boolean>;
  /** The newest version if none is named. */
  modelMetadata(model: string, version: string | undefined, options: CallOptions): Promise<ModelMetadata>;
  infer(request: InferRequest, options: CallOptions): Promise<InferResponse>;
  close(): void;
}

/** Connects when first called, and again whenever the connection is lost. @param endpoint HOST:PORT, without TLS */
export function createKserveClient(endpoint: string): KserveClient {
  const client = new Client(endpoint, credentials.createInsecure(), {
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.initial_reconnect_backoff_ms": FIRST_RECONNECT_MS,
    "grpc.max_reconnect_backoff_ms": LAST_RECONNECT_MS,
    // Otherwise pictures of a private network would go, unencrypted, to the proxy that `http_proxy` names for the web.
    "grpc.enable_http_proxy": 0,
    // A connection of its own, which is gone once it is closed.
    "grpc.use_local_subchannel_pool": 1,
  });

  async function call<Answer>(
    method: KserveMethod,
    request: object,
    schema: z.ZodType<Answer>,
    { deadline, signal }: CallOptions,
  ): Promise<Answer> {
    signal?.throwIfAborted();
    const { path, requestSerialize, responseDeserialize } = KSERVE_SERVICE[method];
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const running = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      { deadline },
      (error, answer) => (error ? reject(error) : resolve(answer)),
    );
    const cancel = () => running.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    let answer: unknown;
    try {
      answer = await promise;
    } catch (error) {
      signal?.throwIfAborted();
      throw toTritonError(endpoint, error as ServiceError);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw new TritonError("bad-answer", endpoint, `${method}: ${z.prettifyError(parsed.error)}`);
  }

  return {
    endpoint,
    serverReady: async (options) => (await call("ServerReady", {}, Ready, options)).ready,
    async modelReady(name, version, options) {
      try {
        return (await call("ModelReady", { name, version }, Ready, options)).ready;
      } catch (error) {
        if (error instanceof TritonError && error.failure === "not-loaded") return false;
        throw error;
      }
    },
    modelMetadata: (name, version = "", options) =>
      call("ModelMetadata", { name, version }, ModelMetadata, options),
    infer: ({ model, version, inputs, outputs }, options) =>
      call(
        "ModelInfer",
        {
          modelName: model,
          modelVersion: version,
          inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
          outputs: outputs.map((name) => ({ name })),
          rawInputContents: inputs.map(({ bytes }) => bytes),
        },
        InferResponse,
        options,
      ),
    close: () => client.close(),
  };
}

/** What Triton says, with UNAVAILABLE, about requests that its scheduler drops. */
const QUEUE_REFUSALS = /exceeds maximum queue size|timeout expired/i;
/** What it says about a revision that was unloaded or is about to be. */
const NOT_LOADED = /not at ready state/i;

function toTritonError(endpoint: string, error: ServiceError): TritonError {
  const { code, details } = error;
  const failed = (failure: TritonError["failure"], message: string) =>
    new TritonError(failure, endpoint, message, { cause: error });
  const notLoaded = () =>
    failed("not-loaded", `${details}. Is the model repository the one that model:build wrote?`);
  switch (code) {
    case status.UNAVAILABLE:
      if (QUEUE_REFUSALS.test(details)) return failed("overloaded", `at capacity (${details}).`);
      if (NOT_LOADED.test(details)) return notLoaded();
      return failed("unreachable", `not reachable; is it running? (${details})`);
    // The server gave up the call, as it does when it stops.
    case status.CANCELLED:
      return failed("unreachable", `the call was cut off (${details}).`);
    case status.NOT_FOUND:
      return notLoaded();
    case status.RESOURCE_EXHAUSTED:
      return failed("overloaded", `at capacity (${details}).`);
    case status.DEADLINE_EXCEEDED:
      return failed("timeout", "no answer in time.");
    case status.INVALID_ARGUMENT:
      return failed("refused", `This is a bug: the request was refused (${details}).`);
    default:
      return failed("failed", `${status[code]}: ${details}`);
  }
}
