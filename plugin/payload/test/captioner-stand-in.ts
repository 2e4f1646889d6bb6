/** A caption API that answers as it is told, over real HTTP: for bad days that the real one is not made to have. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface StandIn {
  readonly url: string;
  /** Method and path of what was asked, in order. */
  readonly requests: string[];
  /** How the next requests are answered. */
  answer: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void | Promise<void>;
  stop(): Promise<void>;
}

export interface Caption {
  alt?: string;
  score?: number;
  needs_review?: boolean;
  cached?: boolean;
}

/** Answers with a caption whatever is sent. */
export const caption =
  ({
    alt = "A dog on grass",
    score = 0.8,
    needs_review = false,
    cached = false,
  }: Caption = {}): StandIn["answer"] =>
  (request, response, body) => {
    if (request.method === "GET" && !cached) return problem(404, "not-captioned")(request, response, body);
    const sha256 = createHash("sha256").update(body).digest("hex");
    const answer = {
      sha256,
      caption: alt.toLowerCase(),
      alt,
      score,
      needs_review,
      model: { id: "m", revision: "r" },
      cached,
    };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  };

/** Refuses with this problem. */
export const problem =
  (status: number, code: string, headers: Record<string, string> = {}): StandIn["answer"] =>
  (_, response) => {
    const body = {
      type: `urn:problem:${code}`,
      title: "SECRET of the server",
      status,
      code,
      detail: "SECRET detail",
    };
    response
      .writeHead(status, { "content-type": "application/problem+json", ...headers })
      .end(JSON.stringify(body));
  };

export const rubbish: StandIn["answer"] = (_, response) => {
  response.writeHead(200, { "content-type": "text/html" }).end("<html>SECRET</html>");
};

export async function startStandIn(): Promise<StandIn> {
  const requests: string[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push(`${request.method} ${request.url}`);
    await standIn.answer(request, response, Buffer.concat(chunks));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const standIn: StandIn = {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    answer: caption(),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return standIn;
}
