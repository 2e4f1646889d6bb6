/** HTTP servers on free ports of this machine, for measurements and tests. */

import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { LOOPBACK } from "./port-holder.ts";

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

/** One that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = await startServer(() => {});
  server.close();
  return Number(new URL(server.url).port);
}
