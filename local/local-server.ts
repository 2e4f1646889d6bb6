/** HTTP servers on free ports of this machine, for measurements and tests. */

import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { isPortFree, LOOPBACK } from "./port-holder.ts";

/** Below the ports that systems hand out for "any port" and for connections, so that nobody gets one of these by chance. */
const FREE_PORTS = { first: 20_000, count: 12_000 };
/** Distance between the first ports of two processes started one after the other; shares no factor with the count. */
const PORTS_A_PROCESS = 37;

let next = process.pid * PORTS_A_PROCESS;

export interface LocalServer {
  readonly url: string;
  close(): void;
}

/** A server that answers with `listener`. */
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

/**
 * A port that nobody listened on a moment ago, and that nobody else is given meanwhile: each process counts on from a start
 * of its own, so that a port without a listener yet is not found free again, here or by the next process.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FREE_PORTS.first + (next++ % FREE_PORTS.count);
    if (await isPortFree(port)) return port;
  }
}
