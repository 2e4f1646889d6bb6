/** The OpenAPI document. Pages are served without the worker: `[assets]` in wrangler.toml, made by local/pages/build.ts. */

import type { Handler } from "hono";
import type { AppEnv } from "../request/context.ts";
import type { Services } from "../services.ts";

const NO_KEY_NEEDED = { security: [{}, { key: [] }] };

/**
 * The document, with the address at which it was requested, for generators that get it as a file, and with whether a key is
 * needed.
 */
export const getOpenApi =
  ({ assets, config }: Pick<Services, "assets" | "config">): Handler<AppEnv> =>
  async (context) => {
    const address = new URL("/openapi.json", context.req.url);
    const document: object = await (await assets.fetch(address)).json();
    const servers = [{ url: address.origin }];
    const security = config.ACCESS === "open" ? NO_KEY_NEEDED : {};
    return context.json({ ...document, servers, ...security }, 200, {
      "cache-control": "public, max-age=3600",
    });
  };
