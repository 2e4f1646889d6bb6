/** The least a worker can do for an upload: uses Hono, hashes the body, and answers with what KV has under the hash. */

import { Hono } from "hono";
import { contentHash } from "../../shared/content-hash.ts";

interface Bindings {
  readonly CAPTIONS: { get(key: string): Promise<string | null> };
}

const app = new Hono<{ Bindings: Bindings }>();
app.post("/v1/captions", async (context) => {
  const sha256 = await contentHash(new Uint8Array(await context.req.arrayBuffer()));
  const found = await context.env.CAPTIONS.get(`bare/${sha256}`);
  return new Response(found, {
    status: found === null ? 404 : 200,
    headers: { "content-type": "application/json" },
  });
});
export default app;
