/** The OpenAPI document of the running worker, by the linter that its readers would use, and as client generators need it. */

import { createConfig, lintFromString } from "@redocly/openapi-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { type RunningEdge, startEdge } from "./edge-support.ts";

const Operation = z.object({
  operationId: z.string().regex(/^[a-z]\w+$/),
  responses: z.record(z.string(), z.unknown()),
});
const Document = z.object({
  servers: z.array(z.object({ url: z.string() })),
  info: z.object({ license: z.object({ name: z.string() }) }),
  paths: z.record(z.string(), z.record(z.string(), Operation)),
});

let edge: RunningEdge;
let source: string;

beforeAll(async () => {
  edge = await startEdge({ BACKEND_URLS: "http://127.0.0.1:9" });
  source = await (await fetch(`${edge.url}/openapi.json`)).text();
}, 60_000);
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
