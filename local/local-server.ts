/** HTTP servers on free ports of this machine, for measurements and tests. */

import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { isPortFree, LOOPBACK } from "./port-holder.ts";

/** Below what systems give to whoever asks for any port or connects: nobody gets one of these by chance. */
const FREE_PORTS = [20_000, 32_000] as const;

export interface LocalServer {
  readonly url: string;
  close(): void;
}

/** A server that answers as it is told. */
export async function startServer(listener: RequestListener): Promise<LocalServer> {
  const server = createServer(listener);
  server.listen(0, LOOPBACK);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://${LOOPBACK}:${address.port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** One that nobody listened on a moment ago, and that nobody is given meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(...FREE_PORTS);
    if (await isPortFree(port)) return port;
  }
}
