/** Uses the proxy that the environment names, as curl and the Hugging Face Hub's own tools do. */

import { setGlobalProxyFromEnv } from "node:http";
import { CommandError } from "./command-line.ts";

/** Servers on this machine are called without a proxy, whether or not NO_PROXY says so. */
const THIS_MACHINE = "localhost,127.0.0.1,[::1]";

/**
 * From now on, requests of this process go through `HTTP_PROXY` and `HTTPS_PROXY` (or in lower case), except to hosts of
 * `NO_PROXY` and of this machine.
 * https://nodejs.org/api/http.html#built-in-proxy-support
 * @throws CommandError if a proxy's address is not valid
 */
export function useProxyOfEnvironment(env: Readonly<NodeJS.ProcessEnv> = process.env): void {
  const direct = env.no_proxy ?? env.NO_PROXY ?? "";
  const no_proxy = direct === "*" ? direct : [direct, THIS_MACHINE].filter(Boolean).join(",");
  try {
    setGlobalProxyFromEnv({ ...env, no_proxy });
  } catch (cause) {
    throw new CommandError(
      "HTTP_PROXY and HTTPS_PROXY: expected http://HOST:PORT or https://HOST:PORT, got something else.",
      { cause },
    );
  }
}
