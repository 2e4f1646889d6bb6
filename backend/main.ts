/**
 * The backend process: parses the configuration, loads the bundle, warms up, listens, and drains at SIGTERM or
 * SIGINT.
 */

import { type Bundle, BundleError, GRAPH_VERSION, openBundle } from "./bundle/bundle.ts";
import { checkRevision } from "./bundle/revision.ts";
import { createTokenizer } from "./bundle/tokenizer.ts";
import { type Config, ConfigError, parseConfig, printableConfig } from "./config.ts";
import { openFastest } from "./engines/measured-dtype.ts";
import { DeviceError } from "./engines/onnx/device.ts";
import { restThreads } from "./engines/onnx/threaded.ts";
import { engineDevice, openEngine } from "./engines/open-engine.ts";
import { TritonError } from "./engines/triton/triton-error.ts";
import { startServer } from "./http/server.ts";
import { endOnSignals } from "./http/shutdown.ts";
import { createLog, type Logger } from "./telemetry/log.ts";

const USAGE =
  "node backend/main.ts takes no arguments. Its settings are environment variables, such as PORT and BUNDLE; docs/run.md lists them.";

async function main(): Promise<void> {
  const [argument] = process.argv.slice(2);
  if (argument === "--help" || argument === "-h") return console.log(USAGE);
  if (argument !== undefined) throw new ConfigError(`${argument}: ${USAGE}`);
  const config = parseConfig(process.env);
  const log = createLog(config.LOG_LEVEL);
  const drainAtTheEnd = endOnSignals(log, restThreads);
  log.info({ config: printableConfig(config) }, "configuration");

  const bundle = await openConfigured(config, log);
  // With Triton, the version number of the server's graph already says which revision it is.
  if (config.ENGINE === "onnx") await checkRevision(bundle);
  const [engine, tokenizer] = await Promise.all([openEngine(config, bundle), createTokenizer(bundle)]);
  if (bundle.manifest.review === null) {
    log.warn("nobody has calibrated this bundle: every caption needs review (docs/review.md)");
  }
  if (bundle.manifest.graph_version < GRAPH_VERSION) {
    log.warn(
      "an older version wrote this bundle's graph: rebuild the bundle, and it captions faster (docs/model.md)",
    );
  }
  const server = await startServer({ config, engine, tokenizer, log });
  log.info({ url: server.url, model: bundle.manifest.id, revision: bundle.manifest.revision }, "listening");
  drainAtTheEnd(server);
}

/**
 * Opens the bundle in the configured precision, or else in the fastest one here. A Triton server has chosen one
 * already.
 */
async function openConfigured(config: Config, log: Logger): Promise<Bundle> {
  const { BUNDLE, ENGINE, DEVICE, DEVICE_ID, THREADS, DTYPE } = config;
  if (DTYPE !== undefined || ENGINE === "triton") {
    return openBundle(BUNDLE, { device: engineDevice(config), dtype: DTYPE });
  }
  const { bundle, measured, notKept } = await openFastest(BUNDLE, {
    device: DEVICE,
    deviceId: DEVICE_ID,
    threads: THREADS,
  });
  if (measured) log.info({ measured }, "fastest precision of the bundle on this machine");
  if (notKept)
    log.warn(
      { reason: notKept },
      "the fastest precision could not be stored beside the bundle: set DTYPE, or each start measures it again",
    );
  return bundle;
}

/** Explains a system error about the address to listen on. */
function inWords(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("syscall" in error)) return undefined;
  const { code, address, port, hostname } = error as NodeJS.ErrnoException & {
    readonly address?: string;
    readonly port?: number;
    readonly hostname?: string;
  };
  if (error.syscall === "getaddrinfo")
    return `${hostname} cannot be resolved to an address. Choose another HOST.`;
  if (error.syscall !== "listen") return undefined;
  const where = `${address}:${port}`;
  if (code === "EADDRINUSE") return `${where} is in use by another process. Choose another PORT.`;
  if (code === "EACCES") return `Listening on ${where} needs privileges. Choose a PORT above 1023.`;
  if (code === "EADDRNOTAVAIL") return `${where} is not an address of this machine. Choose another HOST.`;
  return undefined;
}

try {
  await main();
} catch (error) {
  // Mistakes that the operator can correct are shown without a stack.
  const isExpected = [ConfigError, BundleError, DeviceError, TritonError].some(
    (kind) => error instanceof kind,
  );
  console.error(isExpected ? (error as Error).message : (inWords(error) ?? error));
  process.exit(1);
}
