/** The pages as wrangler serves them, beside the worker: headers, links, caching. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { Problem } from "../../shared/problem.ts";

let edge: RunningEdge;
beforeAll(async () => {
  edge = await startEdge({ BACKEND_URLS: "http://127.0.0.1:9", ACCESS: "keys" });
});
afterAll(() => edge.stop());

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${edge.url}${path}`, { headers });

describe.each(["/", "/docs"])("%s", (path) => {
  test("is a page that needs no key and loads nothing from elsewhere", async () => {
    const response = await get(path);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self';.* frame-ancestors 'none'$/,
    );
    expect(response.headers.get("referrer-policy")).toBe("no-referrer");
    expect(response.headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    const html = await response.text();
    expect(html).toContain('<html lang="en">');
    expect(html).not.toMatch(/%[A-Z]+%| style="| on\w+="/);
    const loaded = [
      ...html.matchAll(/<(?:script|link|img)\b[^>]*\b(?:src|href)="([^"]+)"|<a\b[^>]*\bhref="(\/[^"#]*)"/g),
    ];
    expect(loaded.length).toBeGreaterThan(3);
    for (const [, source, link] of loaded) {
      const asset = source ?? link ?? "";
      expect(asset).toMatch(/^\//);
      expect((await get(asset)).status).toBe(200);
    }
  });

  test("is asked for again each time, and sent again only where it has changed", async () => {
    const first = await get(path);
    await first.arrayBuffer();
    expect(first.headers.get("cache-control")).toBe("public, max-age=0, must-revalidate");
    const again = await get(path, { "if-none-match": first.headers.get("etag") ?? "" });
    expect(again.status).toBe(304);
  });

  test("names its script and style by their content, and they may be kept for good", async () => {
    const html = await (await get(path)).text();
    const named = Array.from(
      html.matchAll(/"(\/assets\/[a-z]+\.[0-9a-f]{16}\.(?:js|css|svg))"/g),
      ([, at]) => at ?? "",
    );
    expect(named).toHaveLength(3);
    for (const address of named) {
      const response = await get(address);
      expect(response.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    }
  });
});

test("what is no page and no route is a problem, as everywhere", async () => {
  for (const path of ["/assets/nothing.js", "/_headers"]) {
    const response = await get(path);
    expect(response.status).toBe(404);
    expect(Problem.parse(await response.json()).code).toBe("not-found");
  }
});
