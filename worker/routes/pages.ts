/**
 * What people read: the desk at `/`, the API's page at `/docs`, its OpenAPI document. All but the icon and
 * the style are made before the worker is bundled, local/pages/build.ts.
 */

import type { Handler } from "hono";
import astronaut from "../../examples/astronaut.jpg";
import cat from "../../examples/cat.jpg";
import rocket from "../../examples/rocket.jpg";
import deskScript from "../desk/built/desk.js";
import deskHtml from "../desk/built/index.html";
import icon from "../desk/icon.svg";
import style from "../desk/style.css";
import docsHtml from "../docs/built/docs.html";
import openApiText from "../docs/built/openapi.txt";
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

/** Those that a page names by their version stay as they are; a bare address is looked at again after an hour. */
const FOREVER = "public, max-age=31536000, immutable";

const asset =
  (content: string | ArrayBuffer, contentType: string): Handler<AppEnv> =>
  (context) => {
    const caching = context.req.query("v") === undefined ? ONE_HOUR : FOREVER;
    return new Response(content, { headers: { "content-type": contentType, "cache-control": caching } });
  };
const text = (content: string, contentType: string) => asset(content, `${contentType}; charset=utf-8`);

const EXAMPLES: Readonly<Record<string, ArrayBuffer>> = {
  "astronaut.jpg": astronaut,
  "cat.jpg": cat,
  "rocket.jpg": rocket,
};

export const getDesk: Handler<AppEnv> = () => new Response(deskHtml, { headers: PAGE_HEADERS });
export const getStyle = text(style, "text/css");
export const getIcon = text(icon, "image/svg+xml");
export const getDeskScript = text(deskScript, "text/javascript");

/** Public-domain photographs to try, examples/README.md. */
export const getExample: Handler<AppEnv, "/assets/examples/:name"> = (context, next) => {
  const example = EXAMPLES[context.req.param("name")];
  return example === undefined ? context.notFound() : asset(example, "image/jpeg")(context, next);
};

export const getOpenApi: Handler<AppEnv> = (context) => {
  // An address with its host, for generators that are given the document as a file.
  const servers = [{ url: new URL(context.req.url).origin }];
  const document = { ...(JSON.parse(openApiText) as object), servers };
  return context.json(document, 200, { "cache-control": ONE_HOUR });
};

export const getDocs: Handler<AppEnv> = () => new Response(docsHtml, { headers: PAGE_HEADERS });
