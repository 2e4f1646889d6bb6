/** Where models come from and where they are kept, by the variables that every Hugging Face tool reads. */

import { homedir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { HubError } from "./hub-error.ts";

const Variables = z.object({
  HF_TOKEN: z.string().optional(),
  HF_ENDPOINT: z
    .url({ protocol: /^https?$/, error: "expected an address that begins with http:// or https://" })
    .default("https://huggingface.co"),
  HF_HOME: z.string().optional(),
  HF_HUB_CACHE: z.string().optional(),
  HF_HUB_OFFLINE: z.string().optional(),
  XDG_CACHE_HOME: z.string().optional(),
});

export interface HubConfig {
  readonly endpoint: string;
  readonly token: string | undefined;
  /** Folder of the shared cache. */
  readonly cache: string;
  /** Uses only what the cache holds, without asking the hub. */
  readonly offline: boolean;
}

/**
 * Parses the environment; an empty variable counts as unset.
 * https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
 * @throws HubError naming every wrong variable
 */
export function parseHubConfig(environment: Readonly<Record<string, string | undefined>>): HubConfig {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  const parsed = Variables.safeParse(given);
  if (!parsed.success) {
    throw new HubError(
      parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n"),
    );
  }
  const variables = parsed.data;
  const home =
    variables.HF_HOME ?? join(variables.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface");
  return {
    endpoint: variables.HF_ENDPOINT.replace(/\/+$/, ""),
    // If it was read from a file, it may have a line end.
    token: variables.HF_TOKEN?.trim() || undefined,
    cache: asInShell(variables.HF_HUB_CACHE ?? join(home, "hub"), environment),
    offline: /^(1|on|yes|true)$/i.test(variables.HF_HUB_OFFLINE ?? ""),
  };
}

/** Expands `~` and `$NAME` as other Hugging Face tools do: in quotes and in files of variables no shell has done so. */
function asInShell(path: string, environment: Readonly<Record<string, string | undefined>>): string {
  return path
    .replace(/^~(?=\/|$)/, homedir())
    .replaceAll(/\$(?:(\w+)|\{(\w+)\})/g, (found, plain, braced) => environment[plain ?? braced] ?? found);
}
