/** The OpenAPI document. Pages are served without the worker: `[assets]` in wrangler.toml, made by local/pages/build.ts. */

import type { Handler } from "hono";
import type { Bindings } from "../env.ts";
import type { AppEnv } from "../request/context.ts";

/** The document with the address that it was asked at, for generators that are given it as a file. */
export const getOpenApi =
  (assets: Bindings["ASSETS"]): Handler<AppEnv> =>
  async (context) => {
    const address = new URL("/openapi.json", context.req.url);
    const document: object = await (await assets.fetch(address)).json();
    const servers = [{ url: address.origin }];
    return context.json({ ...document, servers }, 200, { "cache-control": "public, max-age=3600" });
  };
