/** What people read: the playground at `/`, the API's page at `/docs`, its OpenAPI document. Loaded only when asked for. */

import type { Handler } from "hono";
import icon from "../playground/icon.svg";
import playgroundHtml from "../playground/index.html";
import playgroundScript from "../playground/playground.js";
import style from "../playground/style.css";
import type { AppEnv } from "../request/context.ts";

const ONE_HOUR = "public, max-age=3600";

/** Nothing from elsewhere but the picture that a person linked. */
const PAGE_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: https: http:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cache-control": ONE_HOUR,
};

const text = (content: string, contentType: string): Handler<AppEnv> => {
  const headers = { "content-type": `${contentType}; charset=utf-8`, "cache-control": ONE_HOUR };
  return () => new Response(content, { headers });
};

export const getPlayground: Handler<AppEnv> = () => new Response(playgroundHtml, { headers: PAGE_HEADERS });
export const getStyle = text(style, "text/css");
export const getIcon = text(icon, "image/svg+xml");
export const getPlaygroundScript = text(playgroundScript, "text/javascript");

export const getOpenApi: Handler<AppEnv> = async (context) => {
  const { openApiDocument } = await import("../docs/openapi.ts");
  // An address with its host, for generators that are given the document as a file.
  const servers = [{ url: new URL(context.req.url).origin }];
  return context.json({ ...openApiDocument(), servers }, 200, { "cache-control": ONE_HOUR });
};

export const getDocs: Handler<AppEnv> = async () => {
  const [{ openApiDocument }, { docsPage }] = await Promise.all([
    import("../docs/openapi.ts"),
    import("../docs/page.ts"),
  ]);
  return new Response(await docsPage(openApiDocument()), { headers: PAGE_HEADERS });
};
