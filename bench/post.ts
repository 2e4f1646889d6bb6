/**
 * Sends a POST over kept connections. `fetch` takes 0.3 ms of a core and makes a lone request 0.7 ms longer, which
 * would be attributed to the server.
 */

import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";

const agent = new Agent({ keepAlive: true });

/** @returns the answer's body. @throws Error with the body if the status is not 200 */
export async function post(url: string, body: Uint8Array): Promise<string> {
  const sent = request(url, { method: "POST", agent, headers: { "content-length": body.length } });
  sent.end(body);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const answer = await text(response);
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${answer}`);
  return answer;
}
