/**
 * The backend's configuration: reads the environment and returns checked values. No other backend file reads the
 * variables.
 */

import { isIPv4 } from "node:net";
import { availableParallelism } from "node:os";
import * as z from "zod";
import { fieldExpectation } from "../shared/expectation.ts";
import { MAX_TIMER_MS } from "../shared/limits.ts";
import { LogLevel } from "../shared/log-level.ts";
import { HeaderSecret, WebAddress } from "../shared/schema.ts";
import { Device, Dtype } from "./bundle/bundle.ts";
import { TRITON_MODEL } from "./bundle/triton-models.ts";

const MIB = 1024 * 1024;
/** The most entries that a Map can hold; space for all of them is allocated at the start. */
const MAX_RECENT_CAPTIONS = 2 ** 24;

/** More than any machine has cores. A hundred thousand threads would be started one by one, silently. */
const MAX_THREADS = 1024;

const Endpoint = z
  .string()
  .regex(/^([\w.-]+|\[[\da-f:.]+\]):\d+$/i, "expected HOST:PORT, or several separated by commas");

/** Each variable with its meaning; `docs/run.md` is generated from them. */
export const BackendVariables = z.object({
  HOST: z.string().default("127.0.0.1").describe("Address to listen on"),
  PORT: z.coerce
    .number()
    .int()
    .min(0)
    .max(65535)
    .default(8788)
    .describe("Port to listen on; 0 takes a free one"),
  ENGINE: z
    .enum(["onnx", "triton"])
    .default("onnx")
    .describe("onnx runs the bundle in this process, triton on NVIDIA Triton servers"),
  DEVICE: Device.default("cpu").describe("Device that the onnx engine computes on"),
  DEVICE_ID: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe("Which of several GPUs to use, with DEVICE cuda or tensorrt"),
  DTYPE: Dtype.optional().describe(
    "Which of the bundle's precisions to open; by default the fastest on this machine, measured at the first start. Set it if your servers differ: captions of different precisions are cached separately",
  ),
  TRITON_ENDPOINTS: z
    .string()
    .transform((list) => list.split(","))
    .pipe(z.tuple([Endpoint], Endpoint))
    .optional()
    .describe("gRPC addresses of the triton engine's servers, separated by commas"),
  TRITON_MODEL: z
    .string()
    .regex(/^[\w.-]+$/)
    .default(TRITON_MODEL)
    .describe("Name of the model in Triton's repository"),
  BUNDLE: z.string().default("bundles/embedded").describe("Folder that model:build wrote"),
  BACKEND_SECRET: z
    .optional(HeaderSecret.check(z.minLength(16, "expected at least 16 characters")))
    .describe(
      "Bearer token that callers must send, at least 16 characters; required unless HOST is loopback",
    ),
  THREADS: z.coerce.number().int().min(1).max(MAX_THREADS).default(availableParallelism()).meta({
    description: "Threads for one forward pass, and the number of pictures decoded at once, up to 16",
    default: "as many as the machine has cores",
  }),
  MAX_BATCH_SIZE: z.coerce
    .number()
    .int()
    .min(1)
    .max(256)
    .default(8)
    .describe("Most pictures in one forward pass; 32 suits a large GPU"),
  MAX_REQUESTS: z.coerce
    .number()
    .int()
    .min(1)
    .default(256)
    .describe(
      "Most caption requests at once; the next one is answered 429. Set it to what the engine can caption within REQUEST_TIMEOUT_MS: requests in a longer queue only expire",
    ),
  MAX_HELD_BYTES: z.coerce
    .number()
    .int()
    .min(32 * MIB)
    .default(256 * MIB)
    .describe(
      "Most bytes of request bodies held at once, as a plain number; a body that would exceed it is answered 429",
    ),
  REQUEST_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .min(1)
    .max(MAX_TIMER_MS)
    .default(30_000)
    .describe(
      "How long a body may take to arrive, and then its caption to be made, in milliseconds; a caller's shorter deadline takes precedence",
    ),
  RECENT_CAPTIONS: z.coerce
    .number()
    .int()
    .min(0)
    .max(MAX_RECENT_CAPTIONS)
    .default(10_000)
    .describe("How many captions are remembered; 0 for none"),
  DRAIN_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .min(0)
    .max(MAX_TIMER_MS)
    .default(30_000)
    .describe("How long to wait for accepted requests after SIGTERM, in milliseconds"),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .string()
    .trim()
    .pipe(WebAddress)
    .optional()
    .describe("OpenTelemetry collector that receives traces, e.g. http://127.0.0.1:4318; none by default"),
  LOG_LEVEL: z._default(LogLevel, "info").describe("Least severe level that is logged"),
});

export type Config = z.infer<typeof BackendVariables>;

/** At least one variable has a wrong value; the message names each of them. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** @throws ConfigError naming every wrong variable and what was expected, but never a secret's value */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  const parsed = BackendVariables.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `  ${fieldExpectation(issue)}`);
    throw new ConfigError(`The backend's configuration is wrong:\n${lines.join("\n")}`);
  }
  const config = parsed.data;
  if (config.BACKEND_SECRET === undefined && !isLoopback(config.HOST)) {
    throw new ConfigError(
      `The backend's configuration is wrong:\n  BACKEND_SECRET: required, because HOST ${config.HOST} is not loopback`,
    );
  }
  if (config.ENGINE === "triton" && config.TRITON_ENDPOINTS === undefined) {
    throw new ConfigError(
      "The backend's configuration is wrong:\n  TRITON_ENDPOINTS: required with ENGINE=triton, e.g. 127.0.0.1:8001",
    );
  }
  return config;
}

/** The configuration without its secrets, for the log. */
export function printableConfig(config: Config): Record<string, unknown> {
  const { BACKEND_SECRET, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } = config;
  return {
    ...config,
    BACKEND_SECRET: BACKEND_SECRET === undefined ? "not set" : "set",
    ...(endpoint !== undefined && { OTEL_EXPORTER_OTLP_ENDPOINT: withoutCredentials(endpoint) }),
  };
}

function withoutCredentials(address: string): string {
  const url = new URL(address);
  if (url.username === "" && url.password === "") return address;
  url.username = "";
  url.password = "";
  return url.href;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}
