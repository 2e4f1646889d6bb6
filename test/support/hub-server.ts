/**
 * A small server with the Hugging Face Hub's API for models: revision, tree, and files by range. It can be told to
 * break off, to change bytes and to refuse, and is a proxy to itself. It knows neither Xet nor redirects to a content network.
 */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { onTestFinished } from "vitest";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** What one file download does instead of answering in full. */
export type Mishap =
  | { readonly kind: "break-off"; readonly afterBytes: number }
  | { readonly kind: "status"; readonly status: number; readonly headers?: Record<string, string> }
  | { readonly kind: "other-bytes" }
  | { readonly kind: "too-many-bytes"; readonly bytes: number };

export interface HubServer {
  readonly url: string;
  /** Files of the one model, by path. */
  readonly files: Map<string, Buffer>;
  /** Mishaps of the coming downloads of a file, first first; after the last all is well. */
  readonly mishaps: Map<string, Mishap[]>;
  /** Range of every file request that asked for more than the first byte: path and first byte. */
  readonly reads: { path: string; from: number }[];
  token: string | undefined;
  /** What a forged hub says in place of the truth. */
  readonly forged: Forgery;
}

interface Forgery {
  sha?: string;
  oid?: string;
  /** Address of the listing's next page. */
  next?: string;
}

export async function startHubServer(
  files: Readonly<Record<string, Buffer>>,
  id = "tests/model",
): Promise<HubServer> {
  const hub = {
    files: new Map(Object.entries(files)),
    mishaps: new Map<string, Mishap[]>(),
    reads: [] as { path: string; from: number }[],
    token: undefined as string | undefined,
    forged: {} as Forgery,
  };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://hub").pathname);
    if (hub.token !== undefined && request.headers.authorization !== `Bearer ${hub.token}`) {
      json(response, 401, { error: "Repository not found" });
    } else if (
      path === `/api/models/${id}/revision/main` ||
      path === `/api/models/${id}/revision/${COMMIT}`
    ) {
      json(response, 200, {
        _id: "1",
        id,
        sha: hub.forged.sha ?? COMMIT,
        private: false,
        gated: false,
        downloads: 0,
        likes: 0,
        lastModified: "2026-01-01",
      });
    } else if (path === `/api/models/${id}/tree/${COMMIT}`) {
      const { oid, next } = hub.forged;
      if (next !== undefined) response.setHeader("link", `<${next}>; rel="next"`);
      const entries = [...hub.files].map(([name, bytes]) => listed(name, bytes));
      const forged = entries.map((entry) => (oid === undefined ? entry : { ...entry, oid, lfs: undefined }));
      json(response, 200, forged);
    } else if (path.startsWith(`/${id}/resolve/${COMMIT}/`)) {
      sendFile(request, response, path.slice(`/${id}/resolve/${COMMIT}/`.length));
    } else {
      json(response, 404, { error: "Not found" });
    }
  }

  function sendFile(request: IncomingMessage, response: ServerResponse, name: string): void {
    const bytes = hub.files.get(name);
    if (!bytes) {
      json(response, 404, { error: "Entry not found" });
      return;
    }
    const [, first = "0", last = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const [from, to] = [Number(first), last === "" ? bytes.length - 1 : Number(last)];
    const probe = request.headers.range === "bytes=0-0";
    const headers: Record<string, string> = {
      etag: `"${sha256(bytes)}"`,
      "content-range": `bytes ${from}-${to}/${bytes.length}`,
      "content-length": String(to - from + 1),
    };
    const mishap = probe ? undefined : hub.mishaps.get(name)?.shift();
    if (!probe) hub.reads.push({ path: name, from });
    if (mishap?.kind === "status") {
      response.writeHead(mishap.status, mishap.headers).end();
      return;
    }
    if (mishap?.kind === "too-many-bytes") delete headers["content-length"];
    response.writeHead(request.headers.range ? 206 : 200, headers);
    const part = bytes.subarray(from, to + 1);
    if (mishap?.kind === "break-off")
      response.write(part.subarray(0, mishap.afterBytes), () => response.destroy());
    else if (mishap?.kind === "too-many-bytes") response.end(Buffer.alloc(mishap.bytes, part));
    else response.end(mishap?.kind === "other-bytes" ? Buffer.alloc(part.length, 7) : part);
  }

  const server = createServer(answer);
  // As a proxy it leads to itself, whatever host is asked for.
  server.on("connect", (_request, socket: Socket) => {
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    server.emit("connection", socket);
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(hub, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

/** Large files are listed with their SHA-256, small ones with git's blob hash, as the hub does. */
function listed(path: string, bytes: Buffer) {
  const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  const lfs = path.endsWith(".safetensors")
    ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }
    : {};
  return { type: "file", path, size: bytes.length, oid, ...lfs };
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
