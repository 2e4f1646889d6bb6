/** The service of kserve.proto as grpc-js wants it. */

import { fileURLToPath } from "node:url";
import { loadSync, type MethodDefinition } from "@grpc/proto-loader";

export type KserveMethod = "ServerLive" | "ServerReady" | "ModelReady" | "ModelMetadata" | "ModelInfer";
export type KserveService = Readonly<Record<KserveMethod, MethodDefinition<object, object>>>;

/** Messages as plain objects: camelCase fields, none absent, int64 as text, bytes as Buffer. */
export const KSERVE_SERVICE = loadSync(fileURLToPath(new URL("./kserve.proto", import.meta.url)), {
  longs: String,
  defaults: true,
})["inference.GRPCInferenceService"] as unknown as KserveService;
