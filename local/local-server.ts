/** HTTP servers on free ports of this machine, for measurements and tests. */

import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { isPortFree, LOOPBACK } from "./port-holder.ts";

/** Below what systems give to whoever asks for any port or connects: nobody gets one of these by chance. */
const FREE_PORTS = { first: 20_000, count: 12_000 };
/** Between the places where two processes begin that were started one after the other; shares no factor with the count. */
const PORTS_A_PROCESS = 37;

let next = process.pid * PORTS_A_PROCESS;

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

/**
 * One that nobody listened on a moment ago, and that nobody is given meanwhile: each process counts on from a place of its
 * own, so that a port that is not listened on yet is not found free again, here or by the next process.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FREE_PORTS.first + (next++ % FREE_PORTS.count);
    if (await isPortFree(port)) return port;
  }
}
