/**
 * A receiver of job webhooks: verifies each by Standard Webhooks, answers at once, and takes a repeat for what it is.
 *
 *   WEBHOOK_SECRET=whsec_... node_modules/.bin/node examples/webhook-receiver.ts
 */

import { createServer, type IncomingMessage } from "node:http";
import { Webhook } from "standardwebhooks";

const PORT = Number(process.env.PORT ?? 8790);
const MAX_BYTES = 1024 * 1024;
const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? "");
/** In production in a database: a delivery may come more than once, also days later. */
const seen = new Set<string>();

createServer(async (request, response) => {
  // A connection that is lost on the way is no reason to end: the delivery comes again.
  const body = await bodyOf(request).catch(() => undefined);
  if (body === undefined) {
    response.writeHead(413).end();
    return;
  }
  const id = String(request.headers["webhook-id"]);
  let event: unknown;
  try {
    // The bytes as they came: parsing and writing them anew would change what was signed.
    event = webhook.verify(body, request.headers as Record<string, string>);
  } catch {
    response.writeHead(401).end("The signature does not fit.");
    return;
  }
  response.writeHead(204).end();
  if (seen.has(id)) return;
  seen.add(id);
  console.log(JSON.stringify(event, null, 2));
}).listen(PORT, "127.0.0.1", () => console.log(`Waiting for webhooks on http://127.0.0.1:${PORT}/`));

/** Undefined where it is too long. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
