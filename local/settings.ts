/**
 * Settings of the service on this machine: `local.env` in the project's folder, and nothing else. Variables that the shell
 * exports are ignored, except those that programs need to run at all.
 */

import { readFile } from "node:fs/promises";
import { parseEnv } from "node:util";
import { BackendVariables, parseConfig as parseBackendConfig } from "../backend/config.ts";
import { parseConfig as parseWorkerConfig, WorkerVariables } from "../worker/config.ts";

export const SETTINGS_FILE = "local.env";

/** Variables that options of `npm start` set, or that it sets itself. */
const SET_BY_START: Readonly<Record<string, string>> = {
  PORT: "--backend-port",
  HOST: "",
  BUNDLE: "--bundle",
  BACKEND_URLS: "--backend-port",
};

/** Where programs, files and libraries are, how this machine reaches the network, and GPU runtimes' own switches. */
const INHERITED =
  /^(PATH|HOME|USER|SHELL|TERM|TMPDIR|TZ|LANG|LC_\w+|XDG_\w+|LD_LIBRARY_PATH|DYLD_\w+|CUDA_\w+|NVIDIA_\w+|VK_\w+|(HTTPS?|NO)_PROXY|(https?|no)_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|ORT_DISABLE_TELEMETRY|MALLOC_ARENA_MAX|UV_THREADPOOL_SIZE)$/;

/** `local.env` is wrong; the message says where. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

type Variables = Readonly<Record<string, string>>;

export interface LocalSettings {
  readonly backend: Variables;
  readonly worker: Variables;
}

/** Each side's part of the settings in `path`; none if there is no such file. @throws SettingsError */
export async function readLocalSettings(path: string): Promise<LocalSettings> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw new SettingsError(`${SETTINGS_FILE} cannot be read: ${error.message}`, { cause: error });
  });
  const given = parseEnv(checkedLines(text)) as Variables;
  for (const name of Object.keys(given)) {
    const option = SET_BY_START[name];
    if (option !== undefined) {
      throw new SettingsError(
        `${SETTINGS_FILE}: ${name} is set by npm start itself${option === "" ? "" : `: npm start -- ${option} ...`}`,
      );
    }
    if (!isBackendVariable(name) && !isWorkerVariable(name)) {
      throw new SettingsError(
        `${SETTINGS_FILE}: ${name} is not a setting of the backend or the worker; docs/run.md lists them`,
      );
    }
  }
  const pick = (belongs: (name: string) => boolean) =>
    Object.fromEntries(Object.entries(given).filter(([name]) => belongs(name)));
  const settings = { backend: pick(isBackendVariable), worker: pick(isWorkerVariable) };
  try {
    parseBackendConfig(settings.backend);
    parseWorkerConfig({ BACKEND_URLS: "http://127.0.0.1", ACCESS: "open", ...settings.worker });
  } catch (error) {
    throw new SettingsError(`${SETTINGS_FILE}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  return settings;
}

/**
 * The text without the byte order mark that editors on Windows write. Refuses a line that sets nothing, because it would be
 * silently ignored.
 */
function checkedLines(text: string): string {
  if (text.includes("\0")) {
    throw new SettingsError(
      `${SETTINGS_FILE}: expected text in UTF-8, not in UTF-16 as Windows PowerShell's > writes it`,
    );
  }
  const lines = text.replace(/^\uFEFF/, "");
  lines.split("\n").forEach((line, i) => {
    if (/^\s*(#|$)/.test(line) || line.includes("=")) return;
    throw new SettingsError(`${SETTINGS_FILE}, line ${i + 1}: expected NAME=value`);
  });
  return lines;
}

/** The part of the shell's environment that a child process needs. */
export function inheritedEnvironment(shell: Readonly<Record<string, string | undefined>>): Variables {
  return Object.fromEntries(
    Object.entries(shell).flatMap(([name, value]) =>
      INHERITED.test(name) && value !== undefined ? [[name, value]] : [],
    ),
  );
}

/** Settings that the shell exports and that are ignored here. */
export function ignoredSettings(shell: Readonly<Record<string, string | undefined>>): string[] {
  return Object.keys(shell).filter((name) => isBackendVariable(name) || isWorkerVariable(name));
}

/** Variables as a file for `wrangler dev --env-file`, which expands `$NAME` inside any quotes. */
export function envFile(variables: Variables): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${quoted(value)}\n`)
    .join("");
}

function quoted(value: string): string {
  const quote = ["'", '"', "`"].find((mark) => !value.includes(mark));
  if (quote === undefined)
    throw new SettingsError(
      `${SETTINGS_FILE}: a value holds all three kinds of quotes; use at most two of them`,
    );
  return `${quote}${value.replaceAll("$", "\\$")}${quote}`;
}

function isBackendVariable(name: string): boolean {
  return Object.hasOwn(BackendVariables.shape, name);
}

function isWorkerVariable(name: string): boolean {
  return Object.hasOwn(WorkerVariables.shape, name);
}
