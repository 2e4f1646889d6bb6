/** The OpenAPI document of the running worker, by the linter that its readers would use, and as client generators need it. */

import { createConfig, lintFromString } from "@redocly/openapi-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { type RunningEdge, startEdge } from "../../local/edge.ts";

const Content = z.record(z.string(), z.object({ examples: z.record(z.string(), z.unknown()).optional() }));
const Operation = z.object({
  operationId: z.string().regex(/^[a-z]\w+$/),
  tags: z.tuple([z.string()]),
  requestBody: z.object({ content: Content }).optional(),
  responses: z.record(z.string(), z.object({ content: Content.optional() })),
});
const Document = z.object({
  security: z.array(z.record(z.string(), z.array(z.string()))),
  tags: z.array(z.object({ name: z.string(), description: z.string() })),
  servers: z.array(z.object({ url: z.string() })),
  info: z.object({ license: z.object({ name: z.string() }) }),
  paths: z.record(z.string(), z.record(z.string(), Operation)),
});

let edge: RunningEdge;
let source: string;

beforeAll(async () => {
  edge = await startEdge({ BACKEND_URLS: "http://127.0.0.1:9" });
  source = await (await fetch(`${edge.url}/openapi.json`)).text();
});
afterAll(() => edge.stop());

test("Redocly's recommended rules find nothing that a reader would miss", async () => {
  const config = await createConfig({ extends: ["recommended"] });
  const problems = await lintFromString({ source, absoluteRef: "openapi.json", config });
  const found = problems.map(({ ruleId, location: [at] }) => `${ruleId} ${at?.pointer}`);
  // These two take nothing, so there is nothing that a caller could do wrong.
  expect(found).toEqual([
    "operation-4xx-response #/paths/~1healthz/get/responses",
    "operation-4xx-response #/paths/~1readyz/get/responses",
  ]);
});

test("it says where it is served, and names each operation once", () => {
  const { servers, info, paths } = Document.parse(JSON.parse(source));
  expect(servers).toEqual([{ url: edge.url }]);
  expect(info.license.name).toBe("BSD-3-Clause");
  const ids = Object.values(paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );
  expect(ids).toContain("captionPicture");
  expect(new Set(ids).size).toBe(ids.length);
});

test("every answer and every body that is text has an example; the linter holds them against their schemas", () => {
  const { paths } = Document.parse(JSON.parse(source));
  const without = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { requestBody = { content: {} }, responses }]) =>
      Object.entries({ body: requestBody, ...responses }).flatMap(([place, { content = {} }]) =>
        Object.entries(content)
          .filter(([, { examples = {} }]) => Object.keys(examples).length === 0)
          .map(([type]) => `${method} ${path} ${place} ${type}`),
      ),
    ),
  );
  const ofBytes = /body (application\/octet-stream|multipart\/form-data|application\/x-www-form-urlencoded)$/;
  expect(without.filter((place) => !ofBytes.test(place))).toEqual([]);
});

test("an example that does not fit its schema is found", async () => {
  const config = await createConfig({ extends: ["recommended"] });
  const broken = source.replaceAll(/"score":0\.\d+/g, '"score":"much"');
  const problems = await lintFromString({ source: broken, absoluteRef: "openapi.json", config });
  expect(problems.map(({ ruleId }) => ruleId)).toContain("no-invalid-media-type-examples");
});

test("it says that a key is needed where it is, and where it is not", async () => {
  expect(Document.parse(JSON.parse(source)).security).toEqual([{}, { key: [] }]);
  const keyed = await startEdge({ BACKEND_URLS: "http://127.0.0.1:9", ACCESS: "keys" });
  const document = await (await fetch(`${keyed.url}/openapi.json`)).json();
  await keyed.stop();
  expect(Document.parse(document).security).toEqual([{ key: [] }]);
});
